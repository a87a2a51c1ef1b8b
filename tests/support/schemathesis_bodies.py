"""Question files, right and wrong ones, for schemathesis: to OpenAPI, lines of JSON are a text and no more.

Both runs of schemathesis load this: the one of the tests, and ``make api-test``.
"""

from __future__ import annotations

import json

import schemathesis
from hypothesis import strategies as st

_RIGHT = json.dumps({"question": "Who is Sirwan Barzani?"})
_WRONG = ("", "{}", "[]", "null", '{"question": 5}', '{"question": "a", "evidence": "b"}', "\ufeff", "{")

_words = st.sampled_from(["How far is the army from Mosul?", "المكتبة", "", " ", "\x00", "a" * 3000])
_records = st.fixed_dictionaries({"question": _words}, optional={"answers": st.lists(_words, max_size=2)})
_lines = st.just([_RIGHT]) | st.lists(_records.map(json.dumps) | st.sampled_from(_WRONG), max_size=3)
_rows = st.lists(st.sampled_from(["What?", '"What?"', '"', ",", "", "What?,and,more"]), max_size=3)


def _joined(lines: list[str]) -> bytes:
    return "\n".join(lines).encode()


for _name in ("application/x-ndjson", "application/jsonl"):
    schemathesis.openapi.media_type(_name, _lines.map(_joined))
for _name in ("text/csv", "text/tab-separated-values"):
    schemathesis.openapi.media_type(_name, _rows.map(lambda rows: _joined(["question", *rows])))
