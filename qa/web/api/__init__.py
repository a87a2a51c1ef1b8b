"""The JSON API, and the OpenAPI document that describes it.

routes       questions, documents, citations, health and metrics
requests     the bodies and parameters of requests
responses    the bodies of responses
evaluations  question files in; progress, measures and reports out
snapshots    snapshots listed and activated, the index updated
openapi      the OpenAPI document
examples     the examples in the OpenAPI document
"""
