"""How the answer reader that ships with the package is made: ``python -m training --help``.

Nothing that serves imports this package. ``docs/reader.md`` is the model card of what it made.

data        sources with their licences, checks of every span, what is kept back
encoding    examples as tokens, stretches of whole sentences, batches
negatives   texts that are near a question and do not answer it
dequantise  base weights out of a package's int8 ONNX file
model       the reader as a torch module
train       what is minimised, with a teacher or without, and the loop that does it
export      int8 rows, a checksum and a reference: the file that ships
evaluate    exact match, F1 and "no answer" of such a file
recipe      all of it in order
"""
