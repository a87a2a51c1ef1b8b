"""A question to ranked passages.

filters     the filter of a question: its text, its bounds, and what is wrong with it
query       the rules of a query, and the nearest indexed word for one that is misspelt
follow_ups  a question that leans on the one before, made into one that stands alone
ranking     candidates of embeddings and of words, with both scores, fused
retriever   a query to a reply: searched, made distinct, and the passages read
"""
