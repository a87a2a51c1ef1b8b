"""What a snapshot is on disk, and how it is opened.

manifest   manifest.json: what a snapshot is made of, and the sums that prove it whole
store      documents.sqlite: texts, sections, pages, passages and the ingestion report
vectors    exact search by cosine in FAISS, with columns to filter by
lexical    BM25 in tantivy
fields     what documents can be filtered by, as columns of a snapshot, and how many have each value
index      one snapshot, open and checked
snapshots  the snapshots of an index: listed, published, activated, pruned
"""
