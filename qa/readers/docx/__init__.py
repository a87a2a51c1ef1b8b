"""Word documents (ECMA-376 part 1) to a document.

styles    what a paragraph is by its style, and the bullets and numbers of lists
document  paragraphs, tables and notes in the order of the page
"""
