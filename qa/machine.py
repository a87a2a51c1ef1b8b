"""What this process may use of the machine: processors and memory, with the limits of its container."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

# Where a container sees its own limits.
CONTROL_GROUP = Path("/sys/fs/cgroup")


def usable_cores() -> float:
    """Return how many processors the process may use; a container's quota may be a fraction of one."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    # Of a control group of version 2: microseconds of processor time in a period.
    quota, _, period = _read_limit("cpu.max").partition(" ")
    return min(cores, int(quota) / int(period)) if quota.isdecimal() and period.isdecimal() else cores


def usable_memory() -> float:
    """Return how much memory the process may use, in bytes."""
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(memory, float(most)) if (most := _read_limit("memory.max")).isdecimal() else memory


def release_free_memory() -> None:
    """Give the system back what was freed and the C library keeps for later, where that is GNU's.

    Each thread frees into an area of its own, from which others take nothing: without this a step of a build needs its
    memory beside what the steps before it have freed.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _read_limit(name: str) -> str:
    try:
        return (CONTROL_GROUP / name).read_text(encoding="ascii").strip()
    except OSError:
        return ""
