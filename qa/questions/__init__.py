"""Questions: files of those whose answers are known, and what people asked.

questions   a question with its judgments, and what is wrong with a record
formats     question files: JSONL, CSV, SQuAD, BEIR, TREC
anchoring   quotes to spans of the indexed documents
feedback    what people say of a passage, kept as a question file
asked       what was asked and not answered, kept for some days
json_lines  a file of JSON lines to which several processes append
"""
