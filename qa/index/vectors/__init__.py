"""Vector indexes behind :class:`qa.protocols.VectorIndex`, each with string columns that a search can be filtered by.

One contract suite (``tests/index/vectors/test_contract.py``) holds them all.

engines   which engine a new index gets, and opening by what the manifest says
exact     exact search in FAISS
columns   filter columns: strings coded as integers
"""
