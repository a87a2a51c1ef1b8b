"""The commands of `qa`. Each imports what it needs when it runs, so that `qa --help` answers at once.

main          index, serve, keys, mcp and snapshots; the port that is opened first
ask           ask: one question or a file of them, here or of a service
answer_files  a file of questions answered, as a table or as lines of JSON
evaluate      evaluate, compare, gate and calibrate
models        models list and models convert: the encoders that packages carry
replies       a reply as text: answer, source, confidence, passages
flags         the flags that several commands have
progress      what a terminal shows of indexing and of evaluating
"""

import sys

# structlog imports rich, by which a terminal could show tracebacks in colour: a tenth of a second of every command, for
# what none of them shows. None makes that import fail, which structlog is prepared for.
if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
