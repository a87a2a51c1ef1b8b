"""Judged questions to measures, and measures to a report.

evaluate    a question file and a snapshot to a run in a folder; the gate of a new snapshot
outcomes    what came back for each question, and what it is worth
measures    rankings by ir-measures; answers by exact match and F1
summary     what a person gets, and means with their intervals
comparison  two runs: what changed, whether by chance, and whether it may go in
runs        a run on disk, and as files for other tools
report      the report and the comparison, each one HTML file
plots       the plots of a report, as SVG
calibrate   judged questions to a calibration beside the index
jobs/       evaluations behind a server
"""
