"""Vectors in a Milvus server, standalone or a cluster: a collection for each snapshot, which its manifest names.

engine      the vector index: written, loaded, searched, checked
nearest     the nearest rows, to whole ties, out of results that the server bounds
collection  one collection of a server: calls, timeouts, retries and errors
record      the file of a snapshot's folder that names its collection, so that it is dropped with the folder
filters     filters as Milvus expressions, quoted
"""
