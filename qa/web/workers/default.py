"""How many workers serve where nobody says it. Cheap to import: the command line asks before it opens the port."""

from __future__ import annotations

import os
from pathlib import Path

# Where a container sees its own limits.
CONTROL_GROUP = Path("/sys/fs/cgroup")
_MOST_WORKERS = 4


def default_workers() -> int:
    """Return how many workers serve by default: one for every two cores and every GB of memory, four at most.

    A container's limits of both count.
    """
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    # Of a control group of version 2: microseconds of processor time in a period, and bytes, or "max".
    quota, _, period = _read_limit("cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal():
        cores = min(cores, int(quota) / int(period))
    if (most := _read_limit("memory.max")).isdecimal():
        memory = min(memory, float(most))
    return max(1, min(int(cores / 2), int(memory / 1e9), _MOST_WORKERS))


def _read_limit(name: str) -> str:
    try:
        return (CONTROL_GROUP / name).read_text(encoding="ascii").strip()
    except OSError:
        return ""
