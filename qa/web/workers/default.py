"""How many workers serve where nobody says it. Cheap to import: the command line asks before it opens the port."""

from __future__ import annotations

from qa.machine import usable_cores, usable_memory

_MOST_WORKERS = 8


def default_workers() -> int:
    """Return how many workers serve by default: one for every core and every GB of memory, eight at most.

    A container's limits of both count. A question takes as long in the interpreter, which runs one thread at a time, as
    in the encoder: one worker does not keep two cores busy.
    """
    return max(1, min(int(usable_cores()), int(usable_memory() / 1e9), _MOST_WORKERS))
