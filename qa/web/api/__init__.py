"""The JSON API, and the OpenAPI document that describes it.

routes               questions, documents, citations, metrics, and that the process is up
requests             the bodies and parameters of requests
responses            the bodies of replies: the answer, its citation, the passages
reply_json           the JSON of a reply, written from its values
document_responses   the bodies of documents, their lists and facets
operation_responses  the bodies that say whether collections can be asked, and what is wrong
chat                 collections as models of the OpenAI API
chat_messages        a conversation as a question, and an answer as a message
filters              the filters of requests, as nodes and as text
facets               what documents can be filtered by, with counts
collections          the collections, and whether all of them are ready
evaluations          question files in; progress, measures and reports out
pictures             pages as pictures, and where spans stand on them
snapshots            snapshots listed and activated, the index updated
uploads              documents uploaded, replaced and deleted
upkeep_responses     the shapes of what is said of those and of the index
unanswered           what was asked and not answered, listed and exported
openapi              the OpenAPI document
examples             the examples in the OpenAPI document
"""
