"""Passages to an answer, its citation and its confidence.

answerer     the passages found to an answer: sentence, phrase, citation, highlights
sentences    which sentence answers, and which others say otherwise
phrases      the phrase of a sentence that is of the kind asked for
calibration  raw scores to a confidence, and the thresholds that keep an error promised
citations    spans to citations, and what has become of their sources
"""
