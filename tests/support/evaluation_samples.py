"""Small evaluations: documents split at blank lines, and rankings written by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from qa.errors import QAError
from qa.evaluation.outcomes import AskingOptions, GivenAnswer, Inputs, QuestionOutcome, RankedPassage
from qa.questions.questions import Evidence, JudgedQuestion
from qa.types import Answer, AnswerOutcome, Citation, Hit, Passage, Query, Reply, Scores, Span

SNAPSHOT = "20260401T120000.000Z-5a7b4a42"
FERRY = "Crossing the bay\n\nThe ferry leaves at noon, from the old\nquay.\n\nIt carries forty people. It is slow."
TICKETS = "Tickets\n\nA ticket costs three crowns. Children travel free.\n\nThe ferry leaves at noon on Sundays too."


class Folder:
    """Documents whose passages are their paragraphs."""

    def __init__(self, documents: Mapping[str, str] | None = None) -> None:
        self.documents = {"ferry.txt": FERRY, "notes/tickets.txt": TICKETS} if documents is None else dict(documents)

    @property
    def ids(self) -> list[str]:
        return sorted(self.documents)

    def text(self, id: str) -> str:
        return self.documents[id]

    def passages(self, id: str) -> list[tuple[str, int, int]]:
        spans = [match.span() for match in re.finditer(r".+(\n.+)*", self.documents[id])]
        return [(f"{id}:{number}", *span) for number, span in enumerate(spans)]


def question(
    id: str, *quotes: Sequence[str], documents: Sequence[str] = (), answers: Sequence[str] = ()
) -> JudgedQuestion:
    """Make a judged question; each of ``quotes`` lists the ids of the passages over it."""
    evidence = tuple(Evidence("d", 10 * n, 10 * n + 5, "quote", tuple(ids)) for n, ids in enumerate(quotes))
    return JudgedQuestion(id, f"question {id}?", evidence, dict.fromkeys(documents, 1), tuple(answers), answerable=True)


def outcome(
    asked: JudgedQuestion, *passages: str, answer: GivenAnswer | None = None, ms: float = 5.0
) -> QuestionOutcome:
    """Make an outcome; passages are written ``document/passage``, or ``passage`` for one of the document ``d``."""
    pairs = [(name.rpartition("/")[0] or "d", name) for name in passages]
    found = tuple(RankedPassage(name, document, 0, 10, Scores(dense=0.5)) for document, name in pairs)
    return QuestionOutcome(asked, found, answer, {"total": ms})


def inputs(top_k: int = 20, snapshot: str = SNAPSHOT, sha256: str = "0" * 64) -> Inputs:
    return Inputs("harbour", snapshot, "questions.jsonl", sha256, AskingOptions(mode="dense", top_k=top_k))


class WordSearch:
    """A service that ranks paragraphs by the words they share with the question, and answers with the first."""

    def __init__(self, folder: Folder, *, answers: bool = False, worse: bool = False) -> None:
        self.folder = folder
        self.answers = answers
        self.worse = worse
        self.asked = 0

    def ask_many(self, queries: Sequence[Query]) -> list[Reply | QAError]:
        return [self._ask(query) for query in queries]

    def _ask(self, query: Query) -> Reply:
        self.asked += 1
        words = set(re.findall(r"\w+", query.question.lower()))
        passages = [
            Passage(id, document, start, end, self.folder.text(document)[start:end])
            for document in self.folder.ids
            for id, start, end in self.folder.passages(document)
        ]
        scored = [(len(words & set(re.findall(r"\w+", p.text.lower()))) / 100, p) for p in passages]
        scored.sort(key=lambda pair: (pair[0] if self.worse else -pair[0], pair[1].id))
        hits = tuple(
            Hit(rank, passage, passage.document, Scores(dense=score))
            for rank, (score, passage) in enumerate(scored[: query.top_k], start=1)
        )
        return Reply(query.question, hits, SNAPSHOT, {"total": 1.5}, self._answer(hits[0]) if self.answers else None)

    def _answer(self, best: Hit) -> Answer:
        p = best.passage
        cited = Citation(p.document, p.start, p.end, None, None, "0" * 64, "0" * 64, "verified")
        score = best.scores.dense or 0.0
        outcome: AnswerOutcome = "answered" if score >= 0.03 else "unsure"
        return Answer(outcome, min(1.0, 10 * score), p.text, cited, Span(p.start, p.end))
