"""The pages for people: whole without JavaScript, and safe with any document.

filters      what is chosen of a filter, and the form of what else could be
chooser      the same page of another collection, or of all
rendering    templates to responses, and the addresses of pages
ask          a question, its answer and its passages; feedback on a passage
document     a document's text with a span marked in it, its page as a picture, and its original to download
documents    the collection and its ingestion report
upkeep       documents uploaded, replaced and deleted; how far the index is with that
evaluations  evaluations started, followed, read and compared
unanswered   what was asked and not answered, in groups
api          the HTTP API, described
templates/   the HTML
"""
