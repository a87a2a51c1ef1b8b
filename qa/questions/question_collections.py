"""The formats of other people's collections: BEIR folders, TREC topics with qrels, SQuAD.

References: Thakur et al. 2021 (BEIR); trec_eval's qrels (topic, iteration, document, grade); Rajpurkar et al. 2016 and
2018 (SQuAD 1.1 and 2.0).
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qa.errors import Fault, QuestionFileError
from qa.questions.questions import Quote, Record

Texts = Mapping[str, str]
_TOP = re.compile(r"<(top(?:ic)?)\b(?P<attributes>[^>]*)>(?P<body>.*?)</\1\s*>", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"<num(?:ber)?>\s*(?:number:)?\s*(?P<id>[^\s<]+)", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\b(?:number|id)\s*=\s*["']?(?P<id>[^\s"'>]+)""", re.IGNORECASE)
_TITLE = re.compile(r"<(?:title|query|question)>\s*(?:(?:topic|title):)?(?P<text>[^<]*)", re.IGNORECASE)


def beir_files(folder: Path) -> list[Path]:
    """``queries.jsonl`` and its judgments: ``qrels/test.tsv``, or all of ``qrels/``, or ``qrels.tsv``."""
    test = folder / "qrels" / "test.tsv"
    qrels = [test] if test.is_file() else sorted(folder.glob("qrels/*.tsv")) or sorted(folder.glob("qrels.tsv"))
    if not qrels:
        message = "there are no judgments: a BEIR folder has qrels/test.tsv"
        raise QuestionFileError([Fault(str(folder), None, "", message)])
    return [folder / "queries.jsonl", *qrels]


def trec_files(path: Path, qrels: Path | None) -> list[Path]:
    """Topics, then judgments; in a folder they are told by their names."""
    topics = sorted(path.glob("*topics*"))[:1] if path.is_dir() else [path]
    judged = [qrels] if qrels else sorted((path if path.is_dir() else path.parent).glob("*qrels*"))
    if len(judged) > 1:
        message = f"there are several files of judgments ({', '.join(p.name for p in judged)}); choose one with --qrels"
        raise QuestionFileError([Fault(str(path), None, "", message)])
    return [*topics, *judged]


def _beir(texts: Texts) -> Iterator[Record | Fault]:
    (name, queries), *judged = texts.items()
    grades, faults = _qrels(judged)
    yield from faults
    for number, line in enumerate(queries.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            query = json.loads(line)
            id, question = str(query["_id"]), query["text"]
        except (ValueError, TypeError, KeyError) as error:
            yield Fault(name, number, "", f"is no query with _id and text: {error}")
            continue
        # A collection's queries are those of all its splits; the judgments say which are of this one.
        if id in grades or query.get("answerable") is False:
            more = {key: query[key] for key in ("answers", "answerable", "tags") if key in query}
            yield Record(number, {"id": id, "question": question, "documents": grades.get(id, {}), **more})


def _trec(texts: Texts) -> Iterator[Record | Fault]:
    (name, topics), *judged = texts.items()
    grades, faults = _qrels(judged)
    yield from faults
    if "<top" not in topics.lower():
        yield from _topic_lines(name, topics, grades)
        return
    for match in _TOP.finditer(topics):
        line = topics.count("\n", 0, match.start()) + 1
        id = _NUMBER.search(match["body"]) or _ATTRIBUTE.search(match["attributes"])
        title = _TITLE.search(match["body"])
        if id is None or title is None:
            yield Fault(name, line, "" if id else "num", "the topic has no number or no title")
            continue
        question = " ".join(html.unescape(title["text"]).split())
        yield Record(line, {"id": id["id"], "question": question, "documents": grades.get(id["id"], {})})


def _topic_lines(name: str, topics: str, grades: Mapping[str, Mapping[str, int]]) -> Iterator[Record | Fault]:
    for number, line in enumerate(topics.split("\n"), start=1):
        if line.strip():
            id, tab, question = line.partition("\t")
            if tab:
                yield Record(number, {"id": id, "question": question, "documents": grades.get(id, {})})
            else:
                yield Fault(name, number, "", "is no topic: an id, a tab and the question, or <top> … </top>")


def _qrels(files: list[tuple[str, str]]) -> tuple[dict[str, dict[str, int]], list[Fault]]:
    """Grades of documents by question: three columns as in BEIR, or four as in TREC, with or without a header."""
    grades: defaultdict[str, dict[str, int]] = defaultdict(dict)
    faults = []
    for name, text in files:
        for number, line in enumerate(text.split("\n"), start=1):
            cells = line.split("\t") if "\t" in line else line.split()
            if not line.strip() or (number == 1 and not _is_grade(cells[-1])):
                continue
            if len(cells) not in (3, 4) or not _is_grade(cells[-1]):
                faults.append(Fault(name, number, "", "is no judgment: a question, a document and a whole number"))
                continue
            # Judged, and not relevant, is -1 or less in some collections.
            grades[cells[0].strip()][cells[-2].strip()] = max(0, int(cells[-1]))
    return grades, faults


def _is_grade(cell: str) -> bool:
    return re.fullmatch(r"\s*-?\d{1,3}\s*", cell) is not None


def _squad(texts: Texts) -> Iterator[Record | Fault]:
    ((name, text),) = texts.items()
    try:
        data = json.loads(text)
        paragraphs = [
            (f"data[{a}].paragraphs[{p}]", paragraph)
            for a, article in enumerate(data["data"])
            for p, paragraph in enumerate(article["paragraphs"])
        ]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        message = f'is no SQuAD file, an object with "data", "paragraphs" and "qas": {error}'
        yield Fault(name, getattr(error, "lineno", None), "", message)
        return
    for field, paragraph in paragraphs:
        try:
            yield from [_squad_record(paragraph["context"], question) for question in paragraph["qas"]]
        except (TypeError, KeyError, ValueError) as error:
            yield Fault(name, None, field, f"has no context, or a question with no id or no answers: {error}")


def _squad_record(context: str, question: Any) -> Record:
    values = {"id": str(question["id"]), "question": question["question"]}
    if question.get("is_impossible"):
        return Record(None, {**values, "answerable": False})
    spans = [(answer["answer_start"], answer["text"]) for answer in question["answers"]]
    for start, text in spans:
        if context[start : start + len(text)] != text:
            raise ValueError(f"question {question['id']}: its answer is not in the context at {start}")
    if not spans:
        return Record(None, values)
    # Annotators differ; where most of them point is the evidence, and what each of them wrote is an answer.
    (start, text), _ = Counter(spans).most_common(1)[0]
    quote = Quote(None, context, (start, start + len(text)))
    return Record(None, {**values, "evidence": [quote], "answers": [text for _, text in spans]})


READERS: Mapping[str, Callable[[Texts], Iterator[Record | Fault]]] = {"beir": _beir, "trec": _trec, "squad": _squad}
