"""A question to ranked passages.

query      the rules of a query, for the command line and for HTTP
ranking    candidates of embeddings and of words, with both scores, fused
spelling   words that no passage holds, and the nearest that one does
retriever  a query to a reply: searched, made distinct, and the passages read
"""
