"""Images of pages to their text by OCR, with RapidOCR's models (PP-OCRv6, in its wheel) on OpenVINO.

models      the models: where text stands on an image, which way up it is, what each line says
layout      lines with their boxes to runs, as the characters of a PDF give them
recogniser  a page recognised, or known from before; and what is said where nothing can be recognised
"""
