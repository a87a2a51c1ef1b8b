"""Question answering over a folder of documents, with citations that can be checked.

Nothing is imported here: import the module that you need. In the order of the story:

types        the frozen values that every part is written in: documents, passages, queries, answers, filters
errors       every error that a user can cause, in one tree
extras       the optional parts of the package: what is installed, and what to type for the rest
protocols    what encoders, re-rankers, answer readers and vector indexes can do
settings     the QA_* variables, typed; the only reader of the environment
files        files written atomically, their checksums, and their names as text that can be shown
machine      how many processors and how much memory this process may use
markup       text that is safe to show: on a terminal, on a page, with spans marked
statistics/  intervals, tests and bounds of error: numbers, no documents
text/        text to sentences, words and passages: no files
readers/     a file in any format to a document
models/      models found, compiled and run: encoder, re-ranker, answer reader
index/       what a snapshot is on disk: documents, vectors, words
build/       documents to a snapshot
search/      a question to ranked passages
answers/     passages to an answer, its citation and its confidence
service/     one process that serves snapshots
questions/   question files, their judgments, and feedback
evaluation/  questions to measures, and measures to a report
web/         the service over HTTP: API, pages, and tools for language models
cli/         the commands of `qa`
integrations/  retrievers for LangChain and LlamaIndex
client       a typed client of the HTTP API, blocking and for asyncio
"""
