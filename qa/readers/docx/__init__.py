"""Word documents (ECMA-376 part 1) to a document.

styles    what a paragraph is by its style, and the bullets and numbers of lists
body      paragraphs and tables in the order of the page
document  the body with headers, notes, comments, drawings and documents within it
"""
