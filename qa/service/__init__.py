"""The service: one process that serves the current snapshot of one index.

service       questions answered, documents shown and citations checked from the current snapshot
maintenance   what an operator may do meanwhile: switch snapshots, update the index
examples      example questions that the index answers, for the ask page
"""
