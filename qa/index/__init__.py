"""What a snapshot is on disk, and how it is opened.

manifest   manifest.json: what a snapshot is made of, and the sums that prove it whole
store      documents.sqlite: texts, sections, pages, passages and the ingestion report
vectors    exact search by cosine in FAISS, with columns to filter by
lexical    BM25 in tantivy
index      one snapshot, open and checked
snapshots  the snapshots of an index: listed, published, activated, pruned
"""
