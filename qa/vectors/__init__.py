"""Vector indexes behind :class:`qa.types.VectorIndex`; one contract suite holds them all."""
