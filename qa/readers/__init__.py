"""From a path on disk to documents: what there is to read, and one reader for each kind of file."""
