"""The question sets beside the project as folders of files and BEIR folders: indexed and asked as anybody would.

.venv/bin/python -m benchmarks.evaluation_sets nq_open_oracle /tmp/sets
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from pathlib import Path

from benchmarks.question_sets import QUESTION_SETS


def write_set(name: str, target: Path, *, withheld: bool = False) -> tuple[Path, Path]:
    """Write ``target/name/documents/*.txt`` and the BEIR folder ``target/name/questions``; returns both.

    Args:
        withheld: leave out the documents of ``withhold.json``, and say of their questions that they have no answer.
    """
    source = QUESTION_SETS / name
    documents, questions = target / name / "documents", target / name / "questions"
    for folder in (documents, questions / "qrels"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    gone = set(json.loads((source / "withhold.json").read_text())["withhold_doc_ids"]) if withheld else set()
    for line in _lines(source):
        document = json.loads(line)
        if document["_id"] not in gone:
            text = f"{document['title']}\n\n{document['text']}\n" if document["title"] else f"{document['text']}\n"
            (documents / f"{document['_id']}.txt").write_text(text, encoding="utf-8")
    judged = (source / "qrels.tsv").read_text(encoding="utf-8").splitlines()
    lost = {line.split("\t")[0] for line in judged[1:] if line.split("\t")[1] in gone}
    kept = [line for line in judged if line.split("\t")[0] not in lost]
    (questions / "qrels" / "test.tsv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    with (questions / "queries.jsonl").open("w", encoding="utf-8") as file:
        for line in _records((source / "queries.jsonl").read_text(encoding="utf-8")):
            query = json.loads(line)
            answerable = {"answerable": False} if query["_id"] in lost else {"answers": query.get("answers", [])}
            file.write(json.dumps({"_id": query["_id"], "text": query["text"], **answerable}) + "\n")
    return documents, questions


def _lines(source: Path) -> list[str]:
    packed = source / "corpus.jsonl.gz"
    text = (
        gzip.decompress(packed.read_bytes()).decode()
        if packed.exists()
        else (source / "corpus.jsonl").read_text("utf-8")
    )
    return _records(text)


def _records(text: str) -> list[str]:
    """JSON strings may hold what else counts as the end of a line, such as U+2028."""
    return [line for line in text.split("\n") if line]


if __name__ == "__main__":
    print(*write_set(sys.argv[1], Path(sys.argv[2])), sep="\n")
