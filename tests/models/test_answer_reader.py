"""The answer reader: what it computes, where its tokens lie, and what it refuses."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qa.errors import ModelCorrupt, ModelDisagrees, ModelNotFound
from qa.models.answer_reader import (
    METADATA,
    QUESTION_TOKENS,
    WEIGHTS,
    WINDOW,
    OpenVinoReader,
    parse_vocabulary,
    read_arrays,
    read_header,
)
from qa.models.choice import Runtime, choose_encoder
from qa.models.compiled import CompiledEncoder
from qa.models.files import locate
from qa.protocols import AnswerReader, Reading
from qa.settings import DEFAULT_MODEL
from tests.support.tiny_reader import write_tiny_reader

TOWER = "The tower in Porto is 76 metres tall. It was built between 1754 and 1763 by Nicolau Nasoni, an Italian."
PAIRS = [
    ("How tall is the tower?", TOWER),
    ("Who built the tower in Porto?", TOWER),
    ("When was the tower in Porto built?", TOWER + " " + TOWER * 2),
    ("Who won the match?", "Granite was cheaper."),
    ("What is it?", ""),
]
# A multiplication in int8 rounds each row of a batch by itself, and adds up in the order that the shape suggests.
CLOSE = 0.2


@pytest.fixture(scope="module")
def reader() -> OpenVinoReader:
    return OpenVinoReader(threads=2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of two layers, drawn at random and written by the export of ``training``."""
    return write_tiny_reader(tmp_path_factory.mktemp("reader"))


def best(text: str, reading: Reading) -> str:
    start, end = int(reading.starts.argmax()), int(reading.ends.argmax())
    return text[reading.offsets[start, 0] : reading.offsets[end, 1]]


def assert_alike(one: Reading, other: Reading) -> None:
    np.testing.assert_array_equal(one.offsets, other.offsets)
    np.testing.assert_allclose(one.starts, other.starts, atol=CLOSE)
    np.testing.assert_allclose(one.ends, other.ends, atol=CLOSE)
    assert one.null == pytest.approx(other.null, abs=2 * CLOSE)
    assert one.relevance == pytest.approx(other.relevance, abs=CLOSE)


@pytest.mark.model
def test_the_shipped_reader_finds_the_words_that_answer(reader: AnswerReader) -> None:
    tall, who, when, nobody, nothing = reader.read(PAIRS)
    assert best(TOWER, tall) == "76 metres"
    assert best(TOWER, who) == "Nicolau Nasoni"
    assert best(PAIRS[2][1], when) == "between 1754 and 1763"
    assert min(tall.relevance, who.relevance, when.relevance) > 0 > nobody.relevance
    assert tall.starts.max() + tall.ends.max() > tall.null
    assert nobody.starts.max() + nobody.ends.max() < nobody.null
    assert nothing.offsets.shape == (0, 2)
    assert nothing.starts.shape == nothing.ends.shape == (0,)


@pytest.mark.model
def test_it_agrees_with_transformers_on_the_same_weights(reader: AnswerReader) -> None:
    import torch
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertForQuestionAnswering

    from qa.models.answer_reader import tokenizer_definition
    from qa.models.bert import count_layers, dequantise

    arrays = read_arrays(WEIGHTS, read_header(WEIGHTS))
    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=count_layers(arrays),
        num_attention_heads=12,
        intermediate_size=1536,
    )
    model = BertForQuestionAnswering(config)
    model.train(False)
    names = model.state_dict()
    model.load_state_dict({name: torch.from_numpy(dequantise(arrays, name).copy()) for name in names})
    # transformers' way to make the input of a pair, not ours.
    tokenizer = Tokenizer.from_str(tokenizer_definition().decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for (question, text), reading in zip(PAIRS[:4], reader.read(PAIRS[:4]), strict=True):
        encoding = tokenizer.encode(question, text)
        with torch.inference_mode():
            wanted = model(torch.tensor([encoding.ids]), token_type_ids=torch.tensor([encoding.type_ids]))
        first = encoding.type_ids.index(1)
        starts, ends = wanted.start_logits[0].numpy(), wanted.end_logits[0].numpy()
        assert [tuple(pair) for pair in reading.offsets.tolist()] == encoding.offsets[first:-1]
        np.testing.assert_allclose(reading.starts, starts[first:-1], atol=0.5)
        np.testing.assert_allclose(reading.ends, ends[first:-1], atol=0.5)
        assert reading.null == pytest.approx(float(starts[0] + ends[0]), abs=0.5)
        assert reading.starts.argmax() == starts[first:-1].argmax()
        assert reading.ends.argmax() == ends[first:-1].argmax()


@pytest.mark.model
def test_the_default_encoder_and_the_reader_share_one_vocabulary(tmp_path: Path) -> None:
    encoder = choose_encoder(locate(DEFAULT_MODEL), Runtime(tmp_path, "bf16", 1), lambda message: None)
    assert isinstance(encoder, CompiledEncoder)
    assert encoder._tokenizer()._tokenizer is OpenVinoReader(threads=1)._tokenizer is parse_vocabulary()


@pytest.mark.model
def test_the_shipped_file_is_within_its_bounds() -> None:
    assert WEIGHTS.stat().st_size <= 40_000_000


def test_a_small_model_computes_what_torch_computes(tiny: Path) -> None:
    import torch

    from training.model import load_reader

    module = load_reader(tiny).eval()
    reader = OpenVinoReader(threads=1, weights=tiny)
    question, text = "wer", "der Turm"
    (reading,) = reader.read([(question, text)])
    encoded = [101, *_ids(reader, question), 102, *_ids(reader, text), 102]
    types = [0] * (2 + len(_ids(reader, question))) + [1] * (1 + len(_ids(reader, text)))
    with torch.inference_mode():
        spans, relevance = module(torch.tensor([encoded]), torch.tensor([types]), torch.ones(1, len(encoded)))
    shown = spans[0, types.index(1) : -1].numpy()
    np.testing.assert_allclose(reading.starts, shown[:, 0], atol=CLOSE)
    np.testing.assert_allclose(reading.ends, shown[:, 1], atol=CLOSE)
    assert reading.null == pytest.approx(float(spans[0, 0].sum()), abs=2 * CLOSE)
    assert reading.relevance == pytest.approx(float(relevance[0]), abs=CLOSE)


def _ids(reader: OpenVinoReader, text: str) -> list[int]:
    ids: list[int] = reader._tokenizer.encode(text, add_special_tokens=False).ids
    return ids


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The café is open.", ["The", "café", "is", "open", "."]),
        ("The cafe\u0301 is", ["The", "cafe\u0301", "is"]),
        ("a\u0300\u0323 b", ["a\u0300\u0323", "b"]),
        ("👩\u200d👩\u200d👧 and 🏳️\u200d🌈, ok", ["👩\u200d👩\u200d👧", "and", "🏳️\u200d🌈", ",", "ok"]),
        ("12\u202fRue l’Été", ["12", "Rue", "l", "’", "Ét", "é"]),
        ("  $1.5M\n", ["$", "1", ".", "5", "M"]),
        ("北京 Ü", ["北", "京", "Ü"]),
        ("", []),
        (" \u200b\n", []),
    ],
)
def test_tokens_lie_exactly_where_their_text_is(tiny: Path, text: str, tokens: list[str]) -> None:
    (reading,) = OpenVinoReader(threads=1, weights=tiny).read([("what?", text)])
    assert [text[start:end] for start, end in reading.offsets] == tokens


def test_a_text_that_is_too_long_is_cut_at_its_end(tiny: Path) -> None:
    reader = OpenVinoReader(threads=1, weights=tiny)
    text = "tower " * 500
    (reading,) = reader.read([("how tall is it", text)])
    assert len(reading.offsets) == len(reading.starts) == len(reading.ends) == WINDOW - 4 - 3
    assert reading.offsets[-1].tolist() == [6 * (WINDOW - 8), 6 * (WINDOW - 8) + 5]
    assert reader.count_tokens([text, "", "how tall"]) == [500, 0, 2]


def test_a_question_that_is_too_long_leaves_the_text_its_room(tiny: Path) -> None:
    (reading,) = OpenVinoReader(threads=1, weights=tiny).read([("why " * 900, "tower " * 500)])
    assert len(reading.offsets) == WINDOW - QUESTION_TOKENS - 3


def test_pairs_read_together_and_one_by_one_are_alike(tiny: Path) -> None:
    reader = OpenVinoReader(threads=2, weights=tiny)
    pairs = [(question, text[:length]) for question, text in PAIRS for length in (5, 40, 300)]
    for pair, reading in zip(pairs, reader.read(pairs), strict=True):
        assert_alike(reading, reader.read([pair])[0])


def test_nothing_to_read_is_nothing_read(tiny: Path) -> None:
    assert OpenVinoReader(threads=1, weights=tiny).read([]) == []


def test_threads_do_not_disturb_each_other(tiny: Path) -> None:
    reader = OpenVinoReader(threads=2, weights=tiny)
    texts = [f"{TOWER} {at}" * (1 + at % 3) for at in range(24)]
    wanted = [OpenVinoReader(threads=1, weights=tiny).read([("who?", text)])[0] for text in texts[:6]]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: reader.read([("who?", text), ("when?", TOWER)]), texts))
    for one, (other, _) in zip(wanted, found, strict=False):
        assert_alike(one, other)


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    reader = OpenVinoReader(threads=1, weights=tmp_path / "reader.safetensors")
    with pytest.raises(ModelNotFound, match=r"reader\.safetensors"):
        reader.load()


@pytest.mark.parametrize("damage", ["a byte", "the end", "everything", "nothing of a reader"])
def test_weights_that_are_damaged_are_refused(tiny: Path, tmp_path: Path, damage: str) -> None:
    from safetensors.numpy import save

    content = bytearray(tiny.read_bytes())
    if damage == "a byte":
        content[len(content) // 2] ^= 1
    elif damage == "the end":
        content = content[:-100]
    elif damage == "everything":
        content = bytearray(b"<html>not found</html>" * 100)
    else:
        content = bytearray(save({"weight": np.zeros(3, dtype=np.float32)}, {"format": "pt"}))
    path = tmp_path / "reader.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelCorrupt, match=r"reader\.safetensors .* no answer reader"):
        OpenVinoReader(threads=1, weights=path).load()


def _rewritten(source: Path, path: Path, **changed: object) -> Path:
    """Write the same weights with other metadata."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save

    with safe_open(str(source), framework="numpy") as file:
        metadata = json.loads(file.metadata()[METADATA])
    path.write_bytes(save(load_file(source), {METADATA: json.dumps({**metadata, **changed})}))
    return path


def test_a_machine_that_computes_otherwise_is_refused(tiny: Path, tmp_path: Path) -> None:
    references: list[dict[str, Any]] = [
        {
            "question": reference.question,
            "text": reference.text,
            "logits": (reference.logits + np.linspace(0, 9, len(reference.logits))[:, None]).tolist(),
        }
        for reference in read_header(tiny).references
    ]
    path = _rewritten(tiny, tmp_path / "other.safetensors", references=references)
    with pytest.raises(ModelDisagrees, match="other reads otherwise on this machine"):
        OpenVinoReader(threads=1, weights=path).load()


def test_another_vocabulary_is_refused(tiny: Path, tmp_path: Path) -> None:
    path = _rewritten(tiny, tmp_path / "other.safetensors", tokenizer_sha256="0" * 64)
    with pytest.raises(ModelCorrupt, match="another vocabulary"):
        OpenVinoReader(threads=1, weights=path).load()


def test_the_fingerprint_names_the_weights(tiny: Path, tmp_path: Path) -> None:
    other = _rewritten(tiny, tmp_path / "other.safetensors", note="another file")
    first, second = (OpenVinoReader(threads=1, weights=path).fingerprint for path in (tiny, other))
    assert first["weights"] != second["weights"]
    assert first == OpenVinoReader(threads=2, weights=tiny).fingerprint
    assert json.loads(json.dumps(first)) == first


def test_nothing_is_fetched(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert OpenVinoReader(threads=1, weights=tiny).read([("who?", TOWER)])


def test_importing_it_loads_no_runtime_and_reading_no_torch(tiny: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from qa.models.answer_reader import OpenVinoReader as R\n"
        "assert not {'torch', 'openvino', 'tokenizers', 'transformers'} & set(sys.modules)\n"
        f"R(threads=1, weights=Path({str(tiny)!r})).read([('who?', 'Nasoni built it.')])\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_same_weights_are_written_as_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    from training.export import write_reader
    from training.model import load_arrays

    paths = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    sums = [write_reader(load_arrays(tiny)[0], path) for path in paths]
    assert paths[0].read_bytes() == paths[1].read_bytes() == tiny.read_bytes()
    assert sums[0] == OpenVinoReader(threads=1, weights=paths[1]).fingerprint["weights"]
