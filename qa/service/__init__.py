"""The service: one process that serves the current snapshots of one index, or of several.

service       questions answered, documents shown and citations checked from the current snapshot
switching     the snapshot that is served, with its models, and its replacing under running requests
following     which snapshot is current, and why one cannot be served
replaced      what was served before, until nothing holds it
collections   several services that share the models
maintenance   what an operator may do meanwhile: switch snapshots, update the index
pictures      pages as pictures, drawn once, and spans marked on them
indexing      the update of an index behind the service, with its progress
upkeep        documents uploaded, replaced and deleted
unanswered    what was asked and not answered: noted, grouped, exported
examples      example questions that the index answers, for the ask page
"""
