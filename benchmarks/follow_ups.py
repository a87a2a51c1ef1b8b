"""What following up brings: rankings and answers of questions that lean on another, as typed and as rewritten.

.venv/bin/python -m benchmarks.follow_ups         the reporting halves
.venv/bin/python -m benchmarks.follow_ups tune    the halves that the rules were made on
.venv/bin/python -m benchmarks.follow_ups show    every question of the tuning halves, and what is made of it

The follow-ups are in ``benchmarks/follow_ups``, after questions of xquad-en and xquad-de, and over documents of their
own; and those of mtrag_govt, as people typed them in a conversation.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from benchmarks.answers import print_table
from benchmarks.question_sets import QUESTION_SETS, Part, mean_difference, part_of, read_lines, write_corpus
from benchmarks.question_sets import JudgedQuestion as Judged
from benchmarks.question_sets import measure as measure_ranking
from benchmarks.withheld import INDEXES, document_id
from qa.build.update import SilentListener, update
from qa.evaluation.measures import is_right
from qa.questions.questions import JudgedQuestion
from qa.readers.registry import read_source
from qa.search.follow_ups import resolve
from qa.service.service import Service
from qa.settings import Settings
from qa.types import Query, Span, Turn

HERE = Path(__file__).parent / "follow_ups"
DOCUMENTS = Path(__file__).parent.parent / "runs" / "benchmark-documents"
MEASURE = "nDCG@10"
# Questions that may be named as asked before.
MOST = 8
# Answers are read in English only.
ANSWERED = ("xquad-en", "own, English")
_LANGUAGES = {"en": "English", "de": "German", "fr": "French"}


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A question after others; ``meant`` is it written so that it stands alone, empty where nobody wrote that."""

    id: str
    group: str
    question: str
    previous: tuple[Turn, ...]
    documents: frozenset[str]
    answers: tuple[str, ...] = ()
    meant: str = ""


def load_own(part: Part) -> Iterator[FollowUp]:
    """Load the follow-ups that were written for this benchmark, of one half."""
    asked = {name: _queries(name) for name in ("xquad-en", "xquad-de")}
    for row in map(json.loads, (HERE / "questions.jsonl").read_text(encoding="utf-8").splitlines()):
        if part_of(row["id"]) != part:
            continue
        if row["set"] == "own":
            turn = Turn(row["previous"])
            group, documents, golds, meant = f"own, {_LANGUAGES[row['language']]}", row["document"], row["answers"], ""
        else:
            after, target = asked[row["set"]][row["after"]], asked[row["set"]][row["meant"]]
            turn = Turn(after["text"], after["answers"][0])
            group, documents, golds = row["set"], document_id(target["context_id"]), target["answers"]
            meant = target["text"]
        yield FollowUp(row["id"], group, row["question"], (turn,), frozenset({documents}), tuple(golds), meant)


def load_conversations(part: Part) -> Iterator[FollowUp]:
    """Load the questions of mtrag_govt with what the same person asked before; those that begin one are left out."""
    relevant = defaultdict(set)
    for line in read_lines(QUESTION_SETS / "mtrag_govt" / "qrels.tsv")[1:]:
        id, document, score = line.split("\t")
        if int(score) > 0:
            relevant[id].add(document_id(document))
    turns: defaultdict[str, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    for typed in _queries("mtrag_govt").values():
        conversation, number = typed["_id"].split("<::>")[:2]
        if "last_turn" in typed:
            turns[conversation].append((int(number), typed))
    for asked in turns.values():
        before: tuple[Turn, ...] = ()
        for _, query in sorted(asked, key=lambda each: each[0]):
            if before and part_of(query["_id"]) == part:
                documents = frozenset(relevant[query["_id"]])
                question = query["last_turn"]
                yield FollowUp(query["_id"], "mtrag_govt", question, before, documents, meant=query["text"])
            before = (*before, Turn(query["last_turn"]))[-MOST:]


def _queries(name: str) -> dict[str, dict[str, Any]]:
    return {each["_id"]: each for each in map(json.loads, read_lines(QUESTION_SETS / name / "queries.jsonl"))}


def open_group(name: str) -> Service:
    """Index the documents of a group, where that was not done before, and serve them."""
    folder = DOCUMENTS / f"whole-{name}"
    if name == "own":
        folder = HERE / "documents"
    elif not folder.exists():
        folder.mkdir(parents=True)
        write_corpus(name, folder)
    settings = Settings(indexes=INDEXES, name=f"bench-{name}-whole")
    update(settings, [folder], SilentListener(), read=read_source)
    service = Service(settings)
    service.reload()
    return service


def ways(each: FollowUp) -> dict[str, Query]:
    """Return the ways in which a follow-up is asked."""
    last = each.previous[-1].question
    found = {
        "as typed": Query(each.question, top_k=10),
        "behind the one before": Query(f"{last} {each.question}", top_k=10),
        "rewritten": Query(each.question, top_k=10, previous=each.previous),
        "rewritten, no answers": Query(
            each.question, top_k=10, previous=tuple(Turn(turn.question) for turn in each.previous)
        ),
    }
    return found | ({"as meant": Query(each.meant, top_k=10)} if each.meant else {})


def measure(group: str, asked: Sequence[FollowUp], service: Service) -> dict[str, float]:
    """Measure one group in all the ways: rankings, and answers where they are read."""
    judged = [Judged(each.id, each.question, each.documents, each.answers) for each in asked]
    names = list(ways(asked[0]))
    rankings: dict[str, list[float]] = {}
    values: dict[str, float] = {"questions": len(asked)}
    for name in names:
        replies = [service.ask(ways(each)[name]) for each in asked]
        run = {
            each.id: list(dict.fromkeys(hit.passage.document for hit in reply.hits))
            for each, reply in zip(asked, replies, strict=True)
        }
        rankings[name] = measure_ranking(judged, run, [MEASURE])[MEASURE]
        values[f"{MEASURE}, {name}"] = sum(rankings[name]) / len(asked)
        if group in ANSWERED:
            right = 0
            for each, reply in zip(asked, replies, strict=True):
                answer = reply.answer
                gold = JudgedQuestion(each.id, "", documents=dict.fromkeys(each.documents, 1), answers=each.answers)
                if answer is not None and answer.citation is not None and answer.text is not None:
                    cited = answer.citation
                    right += bool(is_right(gold, answer.text, cited.document, Span(cited.start, cited.end)))
            values[f"guess is right, {name}"] = right / len(asked)
    gain, low, high = mean_difference(rankings["as typed"], rankings["rewritten"])
    values |= {"gain": gain, "gain at least": low, "gain at most": high}
    return values


def unchanged(part: Part) -> dict[str, float]:
    """Count how often a question that stands alone is left as it is: each of xquad-en after the one before it."""
    queries = list(_queries("xquad-en").values())
    pairs = [(a, b) for a, b in pairwise(queries) if part_of(b["_id"]) == part]
    kept = [resolve(b["text"], (Turn(a["text"]),)) == b["text"] for a, b in pairs]
    return {"questions": len(kept), "left as they are": sum(kept) / len(kept)}


def show() -> None:
    """Print the follow-ups of the tuning halves, and stand-alone questions that are changed."""
    for each in (*load_own("tune"), *load_conversations("tune")):
        made = resolve(each.question, each.previous)
        print(f"{each.previous[-1].question} | {each.question} | {made if made != each.question else '='}")
    queries = list(_queries("xquad-en").values())
    for a, b in pairwise(queries):
        made = resolve(b["text"], (Turn(a["text"]),))
        if made != b["text"] and part_of(b["_id"]) == "tune":
            print(f"ALONE {a['text']} | {b['text']} | {made}")


def main(part: Part) -> None:
    groups: defaultdict[str, list[FollowUp]] = defaultdict(list)
    for each in (*load_own(part), *load_conversations(part)):
        groups[each.group].append(each)
    found = {}
    for group, asked in groups.items():
        found[group] = measure(group, asked, open_group(group.partition(",")[0]))
    alone = unchanged(part)
    print_table(found)
    print(f"Stand-alone questions of xquad-en, each after another: {alone}")
    print(json.dumps({**found, "stand-alone": alone}))


if __name__ == "__main__":
    if sys.argv[1:] == ["show"]:
        show()
    else:
        main(cast("Part", sys.argv[1]) if sys.argv[1:] else "report")
