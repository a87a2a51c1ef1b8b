"""Passages to an answer, its citation and its confidence.

answerer     the passages found to an answer: what is read, what wins, and how it is given
sentences    which sentences of the passages are worth reading
excerpts     what the reader gets of them, within a budget of tokens
spans        the spans that the reader's scores speak for
forms        a span, sentences, a list or a row: what the question asks for
values       values made whole, and compared by what they say
signals      what tells a right answer from a wrong one
calibration  signals to a confidence, and the thresholds that keep a promised error
citations    spans to citations, and what has become of their sources
"""
