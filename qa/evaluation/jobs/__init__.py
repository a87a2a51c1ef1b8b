"""Evaluations behind a server: one runs, the others wait, and a crash loses none.

jobs    the evaluations of an index on disk
queue   the one that runs, and those that wait
worker  the process that evaluates, as qa evaluate does, or compares
"""
