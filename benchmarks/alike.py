"""Questions grouped by likeness, as the page of unanswered ones groups them, beside groups that are known.

``python -m benchmarks.alike`` groups the questions of covid_faq, of which those with the same relevant document ask for
the same. A pair of questions is right if both are in one group and have one document. The threshold was chosen on the
tuning half. It needs ``../shared/data``.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations

from benchmarks.question_sets import Part, load_questions
from qa.models.loading import make_encoder
from qa.protocols import Encoder
from qa.questions.asked import Asked
from qa.service.unanswered import ALIKE, group
from qa.settings import load_settings

_TRIED: dict[Part, tuple[float, ...]] = {"tune": (0.6, 0.65, 0.7, 0.75, 0.8, 0.85), "report": (ALIKE,)}


def measure(encoder: Encoder, part: Part, alike: float) -> dict[str, object]:
    """Group one half by a threshold, and count pairs."""
    questions = [each for each in load_questions("covid_faq", part) if len(each.relevant) == 1]
    gold = {each.text: next(iter(each.relevant)) for each in questions}
    texts = sorted(gold)
    groups = group([Asked(text) for text in texts], encoder.encode_questions(texts), alike)
    pairs = [(a.question, b.question) for each in groups for a, b in combinations(each.questions, 2)]
    right = sum(gold[a] == gold[b] for a, b in pairs)
    known = sum(count * (count - 1) // 2 for count in Counter(gold.values()).values())
    precision, recall = right / max(len(pairs), 1), right / known
    return {
        "half": part,
        "alike": alike,
        "questions": len(texts),
        "groups": len(groups),
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "F1": round(2 * precision * recall / max(precision + recall, 1e-9), 3),
    }


def main() -> None:
    encoder = make_encoder(load_settings(), threads=1)
    rows = [measure(encoder, part, alike) for part, tried in _TRIED.items() for alike in tried]
    print(*rows[0], sep="\t")
    for row in rows:
        print(*row.values(), sep="\t")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
