"""The question sets as folders of text files and BEIR folders, to be indexed and asked as any user would.

.venv/bin/python -m benchmarks.evaluation_sets nq_open_oracle /tmp/sets
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from benchmarks.question_sets import QUESTION_SETS, read_lines, write_corpus


def write_set(name: str, target: Path, *, withheld: bool = False) -> tuple[Path, Path]:
    """Write ``target/name/documents/*.txt`` and the BEIR folder ``target/name/questions``; and return both.

    Args:
        withheld: leave out the documents of ``withhold.json``, and say of their questions that they have no answer.
    """
    source = QUESTION_SETS / name
    documents, questions = target / name / "documents", target / name / "questions"
    for folder in (documents, questions / "qrels"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    gone = set(json.loads((source / "withhold.json").read_text())["withhold_doc_ids"]) if withheld else set()
    write_corpus(name, documents, without=gone)
    judged = read_lines(source / "qrels.tsv")
    lost = {line.split("\t")[0] for line in judged[1:] if line.split("\t")[1] in gone}
    kept = [line for line in judged if line.split("\t")[0] not in lost]
    (questions / "qrels" / "test.tsv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    with (questions / "queries.jsonl").open("w", encoding="utf-8") as file:
        for query in map(json.loads, read_lines(source / "queries.jsonl")):
            answerable = {"answerable": False} if query["_id"] in lost else {"answers": query.get("answers", [])}
            file.write(json.dumps({"_id": query["_id"], "text": query["text"], **answerable}) + "\n")
    return documents, questions


if __name__ == "__main__":
    print(*write_set(sys.argv[1], Path(sys.argv[2])), sep="\n")
