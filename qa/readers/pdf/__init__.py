"""PDF (ISO 32000-1) to a document.

glyphs      the characters of a page as runs with their boxes, without text that cannot be seen
layout      runs to lines in reading order
text        lines to paragraphs, without the headers and footers that repeat
document    pages, outline, form fields and comments to one document
"""
