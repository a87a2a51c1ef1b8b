"""Four question sets as collections of one server: what it costs to ask all of them instead of the right one.

    .venv/bin/python -m benchmarks.federation [--most 40]

Each question of the reporting halves that has an answer is asked of every collection. ``alone`` takes the reply of the
question's own collection; the others choose among the four replies.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.withheld import document_id, index_withheld, load_withheld
from qa.answers.merging import merge_replies
from qa.models.loading import Models
from qa.service.collections import Collections
from qa.types import Answer, Query, Reply

SETS = ("xquad-en", "covid_faq", "pubmedqa", "mtrag_govt")
_TOP = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its own collection, the documents there that answer it, and what every collection replied."""

    own: str
    relevant: frozenset[str]
    replies: Mapping[str, Reply]


def ask_all(most: int) -> list[Asked]:
    """Ask at most ``most`` questions of each set in all of them."""
    settings = [index_withheld(name) for name in SETS]
    collections = Collections(settings[0], [each.name for each in settings], Models(settings[0]))
    services = {name: each.service for name, each in zip(SETS, collections, strict=True)}
    for service in services.values():
        service.reload()
    asked = []
    for name in SETS:
        questions = [each.judged for each in load_withheld(name, "report") if each.answerable][:most]
        for question in questions:
            query = Query(question.text, _TOP)
            replies = {other: service.ask(query) for other, service in services.items()}
            asked.append(Asked(name, frozenset(map(document_id, question.relevant)), replies))
    return asked


def _confidence(answer: Answer) -> float:
    return answer.confidence or 0.0


def _score(answer: Answer) -> float:
    return -float("inf") if answer.score is None else answer.score


def choose(asked: Asked, worth: Callable[[Answer], float]) -> tuple[str, Answer]:
    """Choose the answer that is worth most, and its collection."""
    answers = [(name, reply.answer) for name, reply in asked.replies.items() if reply.answer is not None]
    return max(answers, key=lambda pair: worth(pair[1]))


def _merged(asked: Asked) -> tuple[str, Answer]:
    answer = merge_replies(asked.replies, _TOP).answer
    assert answer is not None
    return answer.citation.collection if answer.citation else "", answer


def _alone(asked: Asked) -> tuple[str, Answer]:
    answer = asked.replies[asked.own].answer
    assert answer is not None
    return asked.own, answer


RULES: Mapping[str, Callable[[Asked], tuple[str, Answer]]] = {
    "alone": _alone,
    "outcome, then confidence": _merged,
    "confidence": lambda asked: choose(asked, _confidence),
    "score of the reader": lambda asked: choose(asked, _score),
}


def _is_right(asked: Asked, name: str, answer: Answer) -> bool:
    return name == asked.own and answer.citation is not None and answer.citation.document in asked.relevant


def _finds(asked: Asked, merged: bool) -> bool:
    if not merged:
        return any(hit.passage.document in asked.relevant for hit in asked.replies[asked.own].hits)
    hits = merge_replies(asked.replies, _TOP).hits
    return any(hit.collection == asked.own and hit.passage.document in asked.relevant for hit in hits)


def print_tables(asked: Sequence[Asked]) -> None:
    """Print how often each rule's answers are of the right collection and document, and what passages are found."""
    total = len(asked)
    print(f"{total} questions over {len(SETS)} collections\n")
    print("| answer chosen by | answered | of these, of the right collection | of these, of a right document |")
    print("|---|---|---|---|")
    for rule, choose_one in RULES.items():
        chosen = [(each, *choose_one(each)) for each in asked]
        given = [(each, name, answer) for each, name, answer in chosen if answer.outcome == "answered"]
        own = sum(name == each.own for each, name, _ in given)
        right = sum(_is_right(*one) for one in given)
        shares = (len(given) / total, own / max(len(given), 1), right / max(len(given), 1))
        print(f"| {rule} | {' | '.join(f'{share:.3f}' for share in shares)} |")
    print("\n| passages | Recall@5, of any right document |\n|---|---|")
    for label, merged in (("alone", False), ("merged", True)):
        print(f"| {label} | {sum(_finds(each, merged) for each in asked) / total:.3f} |")


def main() -> None:
    """Ask, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=40, help="questions of each set")
    print_tables(ask_all(parser.parse_args().most))


if __name__ == "__main__":
    main()
