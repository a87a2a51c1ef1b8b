"""Vector indexes behind :class:`qa.protocols.VectorIndex`, each with string columns that a search can be filtered by.

One contract suite (``tests/index/vectors/test_contract.py``) holds them all.

engines      which engine a new index gets, by its size, and opening by what the manifest says
milvus/      vectors in a Milvus server, for more than one machine
exact        exact search in FAISS
approximate  candidates from clusters, put in order by codes of a byte a dimension
clusters     the clusters of FAISS: trained on a sample, filled, searched
codes        vectors at a byte a dimension
tuning       how much a query searches, and the recall of that, measured at each build
spool        the rows of an index that is being built
table        ids and columns of the rows of an index
columns      filter columns: strings coded as integers
values       the values of a column of an index that is being built
"""
