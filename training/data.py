"""The questions that the reader learns from: their sources with licences, and the checks that each must pass.

The data lies outside the repository, as one JSONL file a source in ``train.tar.xz`` (or in the folder itself)::

    {"id": ..., "title": ..., "question": ..., "context": ..., "answers": [{"text": ..., "start": ...}],
     "answerable": true, "source": ...}
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

TRAINING_ARCHIVE = "train.tar.xz"
# One article of this many is kept back.
_ARTICLES_PER_KEPT = 25


class DataError(Exception):
    """A file of questions is missing, or a question in it is not what it claims to be; the message names it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file of questions is from. ``limit`` is how many of it are taken at most, drawn by the hash of their id.

    ``is_clear`` says that the licence allows to ship what was trained on it.
    """

    name: str
    origin: str
    licence: str
    is_clear: bool = True
    limit: int | None = None


SOURCES = (
    Source("squad11_train", "rajpurkar/SQuAD-explorer", "CC BY-SA 4.0"),
    Source("squad2_unanswerable", "haichao592/UnAnsQ over SQuAD 2.0", "CC BY-SA 4.0"),
    Source("squad11_neg_cut", "SQuAD 1.1, the sentence of the answer cut out", "CC BY-SA 4.0"),
    Source("nq_qed_train", "google-research-datasets/QED over Natural Questions", "CC BY-SA 3.0"),
    Source("qamr", "uwnlp/qamr", "MIT", limit=10_000),
    Source("fairytale", "uci-soe/FairytaleQAData", "Apache-2.0"),
    Source("timeqa", "wenhuchen/Time-Sensitive-QA", "BSD-3-Clause"),
    Source("tatqa", "NExTplusplus/TAT-QA", "CC BY 4.0"),
    # Its authors' repository states no licence; the card in huggingface/datasets says CC BY 3.0.
    Source("doc2dial", "doc2dial/sharedtask-dialdoc2021", "not stated by its authors", is_clear=False),
)


@dataclass(frozen=True, slots=True)
class Example:
    """A question beside a text. ``answers`` are spans ``[start, end)`` of the context; without one it has none."""

    id: str
    source: str
    title: str
    question: str
    context: str
    answers: tuple[tuple[int, int], ...]

    @property
    def texts(self) -> list[str]:
        return [self.context[start:end] for start, end in self.answers]


def parse_example(line: str, where: str) -> Example:
    """Read one line of a file and check that every answer stands where it says.

    Raises:
        DataError: it does not.
    """
    try:
        row = json.loads(line)
        answers = tuple((answer["start"], answer["start"] + len(answer["text"])) for answer in row["answers"])
        texts = [answer["text"] for answer in row["answers"]]
        example = Example(
            row["id"], row["source"], row.get("title", ""), row["question"].strip(), row["context"], answers
        )
        is_answerable = bool(row["answerable"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{where} is no question with answers ({type(error).__name__}: {error})") from error
    if example.texts != texts or not all(text.strip() for text in texts):
        raise DataError(f"{where}: an answer of {example.id} does not stand in its context where it says")
    if is_answerable != bool(answers):
        raise DataError(f"{where}: {example.id} is called {'' if is_answerable else 'un'}answerable and is not")
    return example


def load_file(path: Path) -> list[Example]:
    """Load one JSONL file. Raises DataError."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror})") from error
    return [parse_example(line, f"{path.name}, line {at}") for at, line in enumerate(lines, 1) if line]


def load_sources(folder: Path, sources: Iterable[Source]) -> list[Example]:
    """Load every source, in the order given, from the archive in ``folder`` or from files beside it.

    Raises:
        DataError: a source is missing, or a question is not what it claims to be.
    """
    wanted = {f"{source.name}.jsonl": source for source in sources}
    lines: dict[str, list[str]] = {}
    for name in wanted:
        if (folder / name).is_file():
            lines[name] = (folder / name).read_text(encoding="utf-8").split("\n")
    if len(lines) < len(wanted) and (folder / TRAINING_ARCHIVE).is_file():
        lines |= {
            name: text.split("\n") for name, text in _members(folder / TRAINING_ARCHIVE, set(wanted) - set(lines))
        }
    if missing := [name for name in wanted if name not in lines]:
        raise DataError(f"{missing[0]} is neither in {folder.name} nor in its {TRAINING_ARCHIVE}")
    examples: list[Example] = []
    for name, source in wanted.items():
        loaded = [parse_example(line, f"{name}, line {at}") for at, line in enumerate(lines[name], 1) if line]
        examples += loaded if source.limit is None else sorted(loaded, key=_draw)[: source.limit]
    return examples


def keep_back(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Part off whole SQuAD articles for evaluation, by the hash of their title; return what is left, and them.

    Questions of other sources about a paragraph that is kept back are left out of both.
    """
    kept_titles = {
        example.title for example in examples if example.source.startswith("squad") and _is_kept_title(example.title)
    }
    kept_contexts = {example.context for example in examples if example.title in kept_titles}
    kept = [example for example in examples if example.source.startswith("squad") and example.title in kept_titles]
    left = [
        example for example in examples if example.title not in kept_titles and example.context not in kept_contexts
    ]
    return left, kept


def add_unanswerable(examples: Sequence[Example]) -> list[Example]:
    """Add each question once more, beside the text of another one that shares most words with it and holds no answer.

    The words of the question count, and of equal texts the first. A question whose answers are everywhere is not added.
    """
    contexts = list(dict.fromkeys(example.context for example in examples))
    words = [_words(context) for context in contexts]
    added = []
    for example in examples:
        asked = _words(example.question)
        order = sorted(range(len(contexts)), key=lambda at: -len(asked & words[at]))
        answers = [text.lower() for text in example.texts]
        for at in order:
            text = contexts[at]
            if text != example.context and not any(answer in text.lower() for answer in answers):
                added.append(replace(example, id=f"{example.id}-elsewhere", context=text, answers=()))
                break
    return [*examples, *added]


def choose_sources(*, with_unclear: bool = False, names: Collection[str] = ()) -> list[Source]:
    """Choose sources: those whose licence is clear, all, or those named. Raises DataError."""
    if unknown := sorted(set(names) - {source.name for source in SOURCES}):
        raise DataError(f"there is no source {unknown[0]}; there are {', '.join(source.name for source in SOURCES)}")
    return [source for source in SOURCES if (source.name in names if names else source.is_clear or with_unclear)]


def _members(archive: Path, names: Collection[str]) -> Iterator[tuple[str, str]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            if name in names and (file := tar.extractfile(member)) is not None:
                yield name, file.read().decode("utf-8")


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def _draw(example: Example) -> bytes:
    return hashlib.sha256(example.id.encode()).digest()


def _is_kept_title(title: str) -> bool:
    digest = hashlib.sha256(title.encode()).digest()
    return bool(title) and int.from_bytes(digest[:4], "big") % _ARTICLES_PER_KEPT == 0
