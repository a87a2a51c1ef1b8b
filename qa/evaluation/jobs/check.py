"""The check of a client's question file before it is queued, in a process of its own where the file is large.

To parse megabytes of records takes seconds in which the server's other threads would get a part of the processor. The
process has the lowest priority and bounds of time and memory, and it is ended when nobody waits for it any more.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple

from qa.errors import Fault, QuestionFileError
from qa.questions.formats import parse_format, parse_questions

MOST_QUESTIONS = 20_000
_MODULE = "qa.evaluation.jobs.check"
# Bytes of a file that is checked at once: it takes less time than to start a process.
_SMALL = 200_000
# Of the process: seconds of processor time, seconds on a machine that has no time for it, and bytes of memory. The
# largest files of the worst kinds that were tried take 2 s and 370 MB.
_MOST_SECONDS = 60
_MOST_WAITING = 300.0
_MOST_BYTES = 1 << 30
# Faults that are described; the others are only counted.
_MOST_FAULTS = 100


def check_file(
    name: str, data: bytes, format: str, *, keep_going: bool = False, check: Callable[[], None] = lambda: None
) -> None:
    """Check the bytes of a client's question file, which errors call ``name``. It blocks.

    Args:
        check: called several times a second; what it raises ends the check.

    Raises:
        QuestionFileError: it cannot be evaluated: a record is faulty, or there are too many.
    """
    if len(data) <= _SMALL:
        _parse(name, data, format, keep_going)
        return
    # The process need not import what this one has imported.
    from qa.evaluation.jobs.worker import communicate

    command = [sys.executable, "-m", _MODULE, name, format, str(int(keep_going))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    until = time.monotonic() + _MOST_WAITING

    def check_time() -> None:
        check()
        if time.monotonic() > until:
            process.kill()

    out = communicate(process, data, check_time)
    try:
        found = json.loads(out)
        faults, count = [Fault(*fault) for fault in found["faults"]], found["count"]
    except (ValueError, LookupError, TypeError):
        message = "takes too much time or memory to read; send it in parts"
        faults, count = [Fault(name, None, "", message)], 1
    if faults:
        raise QuestionFileError(faults, count)


def _parse(name: str, data: bytes, format: str, keep_going: bool) -> None:
    parse_questions(name, data, parse_format(name, format), keep_going=keep_going, most=MOST_QUESTIONS)


def main() -> None:
    """Check the file that comes on standard input, and print what is wrong with it as a JSON object."""
    name, format, keep_going = sys.argv[1], sys.argv[2], sys.argv[3] == "1"
    os.nice(19)
    for kind, most in (
        (resource.RLIMIT_CPU, _MOST_SECONDS),
        (resource.RLIMIT_AS, _MOST_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        with suppress(ValueError):
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    faults: tuple[Fault, ...] = ()
    try:
        _parse(name, sys.stdin.buffer.read(), format, keep_going)
    except QuestionFileError as error:
        faults = error.faults
    sys.stdout.write(json.dumps({"faults": [astuple(fault) for fault in faults[:_MOST_FAULTS]], "count": len(faults)}))


if __name__ == "__main__":
    main()
