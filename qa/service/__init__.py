"""One process that serves whatever snapshot is current.

service   the snapshot and the models in use, changed without interrupting a question
operator  what an operator does: list and activate snapshots, update the index
examples  questions that the page may offer
"""
