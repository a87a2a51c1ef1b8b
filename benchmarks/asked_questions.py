"""Questions of all sets, asked once: the best guess for each, its signals, and whether it is right."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.question_sets import Part, part_of
from benchmarks.withheld import document_id, index_withheld, load_withheld
from qa.answers.calibration import Signals
from qa.build.update import SilentListener, update
from qa.errors import QueryError
from qa.evaluation.measures import exact_match, f1, holds, is_right
from qa.questions.questions import Evidence, JudgedQuestion
from qa.readers.registry import read_source
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Mode, Query, Span

ROOT = Path(__file__).parent.parent
SEEDS = ROOT / "seeds"
# Paragraphs of Wikipedia; search questions; a FAQ; government pages; a manual of long documents; abstracts; the seeds.
# The answer reader was trained on none of them.
SETS = ("seeds", "xquad-en", "nq_open_oracle", "covid_faq", "mtrag_govt", "longdoc_faq", "pubmedqa")
# The sets whose questions have short answers as gold; of the others a document is.
WITH_GOLDS = ("seeds", "xquad-en", "nq_open_oracle")
# No document of a set is a whole answer that is longer than this.
_LONGEST = 10**9


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and its best guess.

    ``right`` is as docs/decisions/0009 has it; of a set without gold answers a guess from a relevant document is right.
    A question whose documents were left out has an answer after all where another document gives its very gold answer.
    ``holds`` says whether the sentence that is given with the guess holds a gold answer. ``relevance`` is the highest
    of all that was read, ``milliseconds`` what searching and answering took of the processor.
    """

    id: str
    answerable: bool
    signals: Signals
    relevance: float
    right: bool
    em: float
    f1: float
    holds: bool
    milliseconds: float


def open_set(name: str, *, read_tokens: int = 300, is_calibrated: bool = False) -> Service:
    """Index a set without its withheld documents, where that was not done before, and serve it."""
    if name == "seeds":
        settings = Settings(indexes=ROOT / "indexes", name="seeds", read_tokens=read_tokens)
        update(settings, [SEEDS], SilentListener(), read=read_source)
    else:
        settings = index_withheld(name).model_copy(update={"read_tokens": read_tokens})
    service = Service(settings, is_calibrated=is_calibrated)
    service.reload()
    return service


def questions(name: str, part: Part, most: int) -> list[JudgedQuestion]:
    """Load the questions of one half, at most so many, in an order that is the same every time."""
    found = list(_seed_questions(part) if name == "seeds" else _set_questions(name, part))
    return sorted(found, key=lambda each: hashlib.md5(each.id.encode(), usedforsecurity=False).digest())[:most]


def _seed_questions(part: Part) -> Iterator[JudgedQuestion]:
    for line in (SEEDS / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        content = json.loads(line)
        if part_of(content["id"]) == part:
            yield JudgedQuestion(
                content["id"],
                content["question"],
                documents={each["document"]: 1 for each in content.get("evidence", ())},
                answers=tuple(content.get("answers", ())),
                answerable=content["answerable"],
            )


def _set_questions(name: str, part: Part) -> Iterator[JudgedQuestion]:
    for each in load_withheld(name, part):
        documents = {document_id(id): 1 for id in each.judged.relevant}
        golds = each.judged.answers if name in WITH_GOLDS else ()
        evidence = () if golds else tuple(Evidence(document, 0, _LONGEST, "", ()) for document in documents)
        yield JudgedQuestion(
            each.judged.id,
            each.judged.text,
            documents=documents,
            answers=golds,
            evidence=evidence,
            answerable=each.answerable,
        )


def ask_kept(name: str, part: Part, mode: Mode, most: int) -> list[Asked]:
    """Ask the questions of a set, or read what was asked before by the same command; ``runs/asked`` keeps it."""
    path = ROOT / "runs" / "asked" / f"{name}-{part}-{mode}-{most}.json"
    if not path.exists():
        found = ask(open_set(name), questions(name, part, most), mode)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([asdict(each) for each in found]), encoding="utf-8")
    content = json.loads(path.read_text(encoding="utf-8"))
    return [Asked(**{**each, "signals": Signals(**each["signals"])}) for each in content]


def ask(service: Service, asked: Sequence[JudgedQuestion], mode: Mode = "hybrid") -> list[Asked]:
    """Ask questions one by one; those that nothing was found for are left out."""
    found = []
    for question in asked:
        started = time.process_time()
        (guess,) = service.guess_many([Query(question.text, mode=mode)])
        milliseconds = 1000 * (time.process_time() - started)
        if isinstance(guess, QueryError) or guess.signals is None or guess.reply.answer is None:
            continue
        answer, cited = guess.reply.answer, guess.reply.answer.citation
        if cited is None or answer.text is None or answer.sentence is None:
            continue
        right = bool(is_right(question, answer.text, cited.document, Span(cited.start, cited.end)))
        sentence = service.document(cited.document).document.text[answer.sentence.start : answer.sentence.end]
        golds = question.answers
        em = exact_match(answer.text, golds)
        # Its documents were left out, and another one gives the very same answer.
        is_answered_elsewhere = question.answerable is False and em == 1
        found.append(
            Asked(
                question.id,
                question.answerable is not False or is_answered_elsewhere,
                guess.signals,
                guess.relevance,
                right or is_answered_elsewhere,
                em,
                f1(answer.text, golds),
                cited.document in question.documents and holds(sentence, golds),
                milliseconds,
            )
        )
    return found
