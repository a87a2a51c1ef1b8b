"""PDF (ISO 32000-1) to a document.

glyphs      the characters of a page, as runs with their boxes
visibility  text that cannot be seen: white on white, without ink
layout      runs to lines in reading order
text        lines to paragraphs, without the headers and footers that repeat
outline     the outline to headings where their words stand
document    pages, form fields and comments to one document
"""
