"""Documents to a snapshot.

update      an index made and kept current, as the settings say; pruning
found       the files that an update found, packed
builder     files in, a snapshot's folder out: encode and write
contents    what files hold: read and split, or taken over
reuse       what a build takes over from the active snapshot
embeddings  vectors of texts: from the cache, or encoded while the next are read
known       which embeddings the cache holds, for the workers of a cluster
cluster     embeddings made by a Ray cluster before a build needs them
watch       `qa serve --watch`: the index follows its folder
uploads     the documents that a collection keeps itself: names checked, files landed whole, removed
screening   whether an uploaded file can be read, before it becomes a document
"""
