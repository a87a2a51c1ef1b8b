"""What a snapshot is on disk, and how it is opened.

manifest      manifest.json: what a snapshot is made of, and the sums that prove it whole
schema        documents.sqlite: its tables, and the keys and sums under which other files name its rows
store         documents.sqlite, open: texts, sections, pages, passages and the ingestion report
store_writer  documents.sqlite, written
vectors/      search by cosine, with columns to filter by; the manifest says which engine does it
lexical       BM25 in tantivy
catalog       catalog.sqlite: the names of documents, headings and values, which globs and filters choose by
fields        what documents can be filtered by, as mapped columns, and how many have each value
field_writer  what is said in each field, collected from the documents and written
derived       what is derived from the documents when a snapshot is published
arrays        arrays in files: written as their values come, and sorted in parts
kept          results that a method keeps, without keeping its object alive
bitmaps       sets of rows as a bit for each row, which is what a filter comes to
relations     relations/: which windows, passages and documents belong together, as mapped arrays
sums          the sums of a snapshot's files, and those that are remembered
index         one snapshot, open and checked
snapshots     the snapshots of an index: listed, published, activated, pruned
"""
