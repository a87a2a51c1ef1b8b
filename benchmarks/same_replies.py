"""Whether a change of the code changes what is replied: JSON of a fixed list of questions, written or compared.

The questions are those of the seeds, and of two question sets, each asked for an answer and for passages alone, in
batches as a server forms them; some with more passages, by one leg, within a filter or after another question. What is
written are the bytes of the response, without its timings.

    .venv/bin/python -m benchmarks.same_replies write /tmp/before.jsonl
    .venv/bin/python -m benchmarks.same_replies compare /tmp/before.jsonl

The indexes ``seeds`` and ``nq`` must be there: benchmarks/README.md, Serving.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.question_sets import load_questions
from benchmarks.seeds import QUESTIONS
from qa.errors import QAError
from qa.service.service import Service
from qa.settings import load_settings
from qa.types import Eq, Query, Turn
from qa.web.api.reply_json import write_reply

OF_A_SET = 100
_BATCH = 4


def questions_of(name: str) -> list[str]:
    """List the questions that an index is asked."""
    if name == "seeds":
        return [json.loads(line)["question"] for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    sets = ("nq_open_oracle", "xquad-en")
    return [" ".join(each.text.split()) for one in sets for each in load_questions(one, "report")[:OF_A_SET]]


def vary(number: int, query: Query, before: str) -> Query:
    """Ask some questions in another way than by default."""
    ways: dict[int, Callable[[], Query]] = {
        3: lambda: replace(query, mode="dense"),
        5: lambda: replace(query, mode="lexical"),
        7: lambda: replace(query, top_k=25),
        9: lambda: replace(query, top_k=1),
        11: lambda: replace(query, documents=("*e*",)),
        13: lambda: replace(query, filter=(Eq("language", "en"),)),
        15: lambda: replace(query, question=query.question.replace("e", "ee", 1), previous=(Turn(before),)),
    }
    return ways.get(number % 16, lambda: query)()


def replies(name: str) -> Iterator[str]:
    """Reply to each question, as a line of JSON without what differs from run to run."""
    service = Service(load_settings(name=name))
    service.reload()
    texts = questions_of(name)
    queries = [vary(at, Query(text), texts[at - 1]) for at, text in enumerate(texts)]
    for answer in (True, False):
        asked = [replace(query, answer=answer) for query in queries]
        for start in range(0, len(asked), _BATCH):
            for reply in service.ask_many(asked[start : start + _BATCH]):
                if isinstance(reply, QAError):
                    yield json.dumps(str(reply))
                    continue
                yield write_reply(replace(reply, timings_ms={}, snapshot="")).decode()


def main() -> None:
    """Write the replies to a file, or compare them with it."""
    what, path = sys.argv[1], Path(sys.argv[2])
    found = [line for name in ("seeds", "nq") for line in replies(name)]
    if what == "write":
        path.write_text("\n".join(found) + "\n", encoding="utf-8")
        print(f"{len(found)} replies")
        return
    known = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    differing = [at for at, (one, other) in enumerate(zip(known, found, strict=True)) if one != other]
    for at in differing[:5]:
        print(f"- {known[at]}\n+ {found[at]}")
    print(f"{len(found)} replies, {len(differing)} differ")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
