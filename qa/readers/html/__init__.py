"""HTML to a document.

tree         markup to a tree, in linear time
boilerplate  what of a page is not its text: navigation, banners, forms
page         the tree to paragraphs, headings, lists and tables
"""
