"""A question to ranked passages.

query      the rules of a query, for the command line and for HTTP
ranking    candidates of embeddings and of words, with both scores, fused
retriever  a query to a reply: searched, made distinct, and the passages read
"""
