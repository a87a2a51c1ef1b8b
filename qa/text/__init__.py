"""Text, and how it is cut. Nothing here opens a file or runs a model.

dates      ISO 8601 to the seconds that a date is long
globs      names chosen by patterns such as reports/*, in linear time
lead_ins   what introduces an item, a row or an answer
sentences  text to sentences as spans, in any script
segments   a document cut at its headings and at what it leaves out
splitter   segments to passages: whole sentences, packed to a budget of tokens
words      the terms that BM25 counts in a text
"""
