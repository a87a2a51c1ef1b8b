"""The worker process that reads files one after another; ``qa.readers.isolation`` starts and ends it.

It takes a configuration and then sources from standard input, and gives an answer to each on standard output, all as
frames. It bounds its own memory, and it ends when its parent does.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from qa.readers.confinement import Memory, end_with, offer_to_the_killer, redirect, take_pipes, use_one_arena
from qa.readers.frames import receive, send
from qa.readers.isolation import BEGUN, ReadSource, decode_source, encode_answer
from qa.readers.recognition.recogniser import MODELS_BYTES, PageRecogniser, Recognise
from qa.readers.registry import ReadingOptions
from qa.types import Source

_LARGEST_REQUEST = 1_000_000


def main(lifeline: int) -> None:
    """Answer requests until standard input ends, or until ``lifeline``, the end of a pipe, does."""
    requests, answers = take_pipes()
    end_with(lifeline)
    configuration, _ = receive(requests, _LARGEST_REQUEST)
    module, _, name = configuration["read"].partition(":")
    options = ReadingOptions(**configuration["options"])
    read = partial(getattr(import_module(module), name), options=options)
    offer_to_the_killer()
    memory = Memory(configuration["memory_bytes"])
    recogniser: PageRecogniser | None = None
    if (cache := configuration["recognised"]) is not None:
        load = partial(_load_models, memory, answers)
        recogniser = PageRecogniser(options.ocr, Path(os.fsdecode(bytes.fromhex(cache))), partial(send, answers), load)
        read = partial(read, recogniser=recogniser)
    redirect(2)
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


def _load_models(memory: Memory, answers: int) -> Recognise:
    """Load the models of OCR, after saying so to the process that watches this one's memory."""
    send(answers, {"models": True})
    memory.allow(MODELS_BYTES)
    use_one_arena()
    from qa.readers.recognition.models import Models

    return Models().recognise
