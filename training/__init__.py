"""How the answer reader that ships with the package is made: ``python -m training --help``.

Nothing that serves imports this package. ``docs/reader.md`` is the model card of what it made.
"""
