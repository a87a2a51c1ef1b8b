"""A page of a file as a picture, with the place of each character of its canonical text.

page       one page of a PDF or an image: its pixels, and its lines with the boxes of their characters
places     canonical text to boxes on a page
png        pixels to a PNG
process    the process that does this for one page of a stranger's file, and its limits
"""
