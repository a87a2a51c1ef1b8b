"""What a process does to itself before it opens a stranger's file: it bounds its memory, writes no file, ends with its
parent, and lets no library speak on the pipes.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import resource
import select
import signal
import sys
from pathlib import Path

# How many times the limit of memory is granted before an allocation is denied. A library that is denied memory may say
# nothing and give less text, so that a file is judged by what was used, and denial bounds what two looks do not see.
_GRANTED = 2
_PEAK = re.compile(rb"^VmPeak:\s+(\d+) kB$", re.MULTILINE)


def peak_bytes(process: int | str) -> int:
    """Return the most bytes of address space that a process (a number or ``self``) has had; 0 if that is not known."""
    try:
        found = _PEAK.search(Path(f"/proc/{process}/status").read_bytes())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def take_pipes() -> tuple[int, int]:
    """Move standard input and output to other numbers, so that a library that reads or prints cannot harm a frame."""
    requests, answers = os.dup(0), os.dup(1)
    redirect(0)
    redirect(1)
    return requests, answers


def redirect(descriptor: int) -> None:
    """Let a descriptor lead nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor)
    os.close(null)


class Memory:
    """The bound of this process's memory: ``size`` bytes for a file beyond what it has now, and what is allowed beside.

    ``most`` is the most address space that it may ever have had.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._beside = _address_space()
        # Importing may have taken more for a moment than is in use now.
        self.most = max(peak_bytes("self"), self._beside) + size
        self._limit()

    def allow(self, size: int) -> None:
        """Allow ``size`` bytes more, for what is no file's doing."""
        self._beside += size
        self.most += size
        self._limit()

    def is_exceeded(self) -> bool:
        return peak_bytes("self") > self.most

    def is_worn(self) -> bool:
        """Return whether more than half of what a file may take is in use, between two files."""
        return _address_space() - self._beside > self._size // 2

    def _limit(self) -> None:
        """Bound memory; and write no file and leave no core, so that the disk cannot be filled."""
        for kind, most in (
            (resource.RLIMIT_AS, self._beside + _GRANTED * self._size),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            hard = resource.getrlimit(kind)[1]
            soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (soft, hard))


def _address_space() -> int:
    """Return the bytes of address space in use, which ``RLIMIT_AS`` limits; 0 if the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def use_one_arena() -> None:
    """Let threads share memory: each of glibc's arenas reserves address space, which is bounded (mallopt(3))."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(-8, 1)


def offer_to_the_killer() -> None:
    """Let Linux end this process, and not its parent, when the machine itself runs out of memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def end_with(lifeline: int) -> None:
    """End this process when the other end of a pipe closes, even in a library that never returns to Python.

    Its parent holds the other end and never writes: all that can happen is that it closes, and the signal for that
    kills. On the pipe of requests, the signal for one that has been read already may come late, and would kill too.
    The parent's death signal (``PR_SET_PDEATHSIG``) would not do: it comes when the *thread* ends that started this
    process.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # closed before the signal was asked for
        sys.exit()


def import_path() -> list[str]:
    """Return where this process finds its modules, for another that is to find the same ones."""
    path = [str(Path(entry).absolute()) for entry in sys.path if isinstance(entry, str)]
    # An editable installation may find the package by other means than the path.
    package = str(Path(__file__).parents[2])
    return path if package in path else [*path, package]
