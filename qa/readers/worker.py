"""The worker process that reads files one after another; ``qa.readers.isolation`` starts and ends it.

It takes a configuration and then sources from standard input, and gives an answer to each on standard output, all as
frames (``qa.readers.isolation``). It bounds its own memory, and it ends when its parent does.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from qa.readers.isolation import BEGUN, ReadSource, decode_source, encode_answer, peak_bytes, receive, send
from qa.readers.recognition.recogniser import MODELS_BYTES, PageRecogniser, Recognise
from qa.readers.registry import ReadingOptions
from qa.types import Source

_LARGEST_REQUEST = 1_000_000
# How many times the limit of memory is granted before an allocation is denied. A library that is denied memory may say
# nothing and give less text, so that a file is judged by what was used, and denial bounds what two looks do not see.
_GRANTED = 2


def main(lifeline: int) -> None:
    """Answer requests until standard input ends, or until ``lifeline``, the end of a pipe, does."""
    requests, answers = _take_pipes()
    _end_with(lifeline)
    configuration, _ = receive(requests, _LARGEST_REQUEST)
    module, _, name = configuration["read"].partition(":")
    options = ReadingOptions(**configuration["options"])
    read = partial(getattr(import_module(module), name), options=options)
    _offer_to_the_killer()
    memory = _Memory(configuration["memory_bytes"])
    recogniser: PageRecogniser | None = None
    if (cache := configuration["recognised"]) is not None:
        load = partial(_load_models, memory, answers)
        recogniser = PageRecogniser(options.ocr, Path(os.fsdecode(bytes.fromhex(cache))), partial(send, answers), load)
        read = partial(read, recogniser=recogniser)
    _redirect(2)
    send(answers, {"most_memory": memory.most})
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            request, _ = receive(requests, _LARGEST_REQUEST)
            send(answers, {BEGUN: True})
            source = decode_source(request)
            if recogniser is not None:
                recogniser.begin(request["before"], request["because"])
            values, text = _answer(read, source, configuration["max_characters"])
            if memory.is_exceeded():
                values, text = {"exceeded": "memory"}, ""
            # What libraries keep counts against the next file: the parent then takes a new process for that.
            values["worn"] = memory.is_worn()
            try:
                send(answers, values, text)
            except MemoryError:  # it writes nothing before all is encoded
                send(answers, {"exceeded": "memory"})


def _answer(read: ReadSource, source: Source, most: int) -> tuple[dict[str, Any], str]:
    try:
        document, report = read(source)
    except MemoryError:
        return {"exceeded": "memory"}, ""
    if report.status == "failed" and report.reason.startswith("MemoryError"):  # as readers' errors are reported
        return {"exceeded": "memory"}, ""
    if document is None:
        return encode_answer(None, report), ""
    if len(document.text) > most:
        return {"exceeded": "characters"}, ""
    return encode_answer(document, report), document.text


def _take_pipes() -> tuple[int, int]:
    """Move standard input and output to other numbers, so that a library that reads or prints cannot harm a frame."""
    requests, answers = os.dup(0), os.dup(1)
    _redirect(0)
    _redirect(1)
    return requests, answers


def _redirect(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor)
    os.close(null)


class _Memory:
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


def _load_models(memory: _Memory, answers: int) -> Recognise:
    """Load the models of OCR, after saying so to the process that watches this one's memory."""
    send(answers, {"models": True})
    memory.allow(MODELS_BYTES)
    # Each of glibc's arenas reserves address space, which is what is bounded: one is enough (mallopt(3), M_ARENA_MAX).
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(-8, 1)
    from qa.readers.recognition.models import Models

    return Models().recognise


def _address_space() -> int:
    """Return the bytes of address space in use, which ``RLIMIT_AS`` limits; 0 if the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _offer_to_the_killer() -> None:
    """Let Linux end this process, and not its parent, when the machine itself runs out of memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _end_with(lifeline: int) -> None:
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
