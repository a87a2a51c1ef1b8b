"""Question answering over a folder of documents. Nothing is imported here: name the module you need."""
