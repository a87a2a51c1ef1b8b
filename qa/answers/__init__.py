"""Passages to an answer, its citation and its confidence.

answerer     the passages found to an answer: what is read, what wins, and how it is given
sentences    which sentences of the passages are worth reading
excerpts     what the reader gets of them, within a budget of tokens
spans        the span that wins of all that was read, and its form: phrase, sentences, list or row
weekdays     the day that a question asks for, and the lines of a timetable that are of it
notation     how values are written: units, currencies, numbers and dates
values       values made whole where a reader cut them
quantities   values compared by what they say
merging      the replies of several collections as one
calibration  signals of an answer to a confidence, and the thresholds that keep a promised error
citations    spans to citations, and what has become of their sources
"""
