"""Questions whose answers are known.

questions  a question with its judgments, and what is wrong with a record
formats    question files: JSONL, CSV, SQuAD, BEIR, TREC
anchoring  quotes to spans of the indexed documents
feedback   what people say of a passage, kept as a question file
"""
