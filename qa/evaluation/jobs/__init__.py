"""Evaluations behind a server: one runs, the others wait, and a crash loses none.

check   a question file before it is queued, in a process of its own where it is large
jobs    the evaluations of an index on disk
queue   the one that runs, and those that wait
worker  the process that evaluates, as qa evaluate does, or compares
"""
