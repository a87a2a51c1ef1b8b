"""PDF (ISO 32000-1) to a document.

calls       functions of PDFium that are called for each character
unseen      text of a page that cannot be seen
glyphs      the characters of a page as runs with their boxes
cells       cells of several lines, in tables that no lines rule, as rows
layout      runs to lines in reading order
tables      the cells of rows in their columns
text        lines to paragraphs, without the headers and footers that repeat
scans       pages that are images of pages, with a stamp or without
document    pages, outline, form fields and comments to one document
"""
