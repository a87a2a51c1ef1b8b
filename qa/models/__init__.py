"""Bi-encoders behind :class:`qa.types.Encoder`."""
