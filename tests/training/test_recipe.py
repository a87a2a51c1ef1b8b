"""The recipe of the answer reader, small: two layers of 32 on forty questions, from data to the file that ships."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qa.models.answer_reader import OpenVinoReader
from qa.protocols import Reading
from tests.support.tiny_reader import draw_tiny_reader
from training.__main__ import main
from training.data import (
    SOURCES,
    DataError,
    Example,
    Source,
    add_unanswerable,
    choose_sources,
    keep_back,
    load_sources,
    parse_example,
)
from training.encoding import Text, crop, encode, find_span, make_batch
from training.evaluate import best_span, compute_auroc, evaluate
from training.model import load_reader
from training.negatives import COUNT, holds, mine
from training.recipe import Recipe, run
from training.train import Schedule, compute_distillation, compute_loss

SHARED = Path(__file__).parent.parent.parent.parent / "shared" / "reader" / "data"
TOWNS = "Greenwick Brook Cray Dunmore Elmet Fenwick Garth Holt Ibsley Jura Kelso Lorne Marlow Naunton Oakham".split()
SCHEDULE = Schedule(steps=30, batch=8, rate=1e-3, warmup=5)


def row(number: int) -> dict[str, Any]:
    """Make a question about a town, every fourth without an answer."""
    town, height = TOWNS[number % len(TOWNS)], 20 + 3 * number
    context = f"{town} lies on a river. Its tower is {height} metres tall. It was built of granite, {number} years ago."
    answer = f"{height} metres"
    is_answerable = number % 4 != 3
    return {
        "id": f"made-{number}",
        "source": "squad1.1-train",
        "title": town,
        "question": f"How tall is the tower of {town}?" if is_answerable else f"Who was mayor of {town}?",
        "context": context,
        "answers": [{"text": answer, "start": context.index(answer)}] if is_answerable else [],
        "answerable": is_answerable,
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    lines = [json.dumps(row(number)) + "\n" for number in range(40)]
    (folder / "made.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from safetensors.numpy import save_file

    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    save_file(draw_tiny_reader(5), path)
    return path


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Let sums be added up in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


MADE = Source("made", "this test", "Apache-2.0")


def example(context: str, answer: str = "", question: str = "who?", id: str = "x") -> Example:
    spans = ((context.index(answer), context.index(answer) + len(answer)),) if answer else ()
    return Example(id, "test", "", question, context, spans)


def test_the_recipe_makes_a_reader_that_reads(data: Path, base: Path, tmp_path: Path) -> None:
    recipe = Recipe(base, base, SCHEDULE)
    held_out = {"one": [example("Its tower is 35 metres tall.", "35 metres", "How tall is the tower?")]}
    measures = run(recipe, [MADE], data, tmp_path / "out", held_out)
    assert set(measures) == {"squad kept back", "one"}
    assert measures["squad kept back"].questions > 0
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert log[0]["examples"] + log[0]["kept_back"] == 40
    losses = [line["loss"] for line in log if "loss" in line]
    assert all(map(math.isfinite, losses))
    weights = tmp_path / "out" / "reader.safetensors"
    (reading,) = OpenVinoReader(threads=1, weights=weights).read([("How tall?", "It is 35 metres tall.")])
    assert len(reading.starts) == 6
    # The very same again, whatever else runs.
    run(recipe, [MADE], data, tmp_path / "again", held_out)
    assert (tmp_path / "again" / "reader.safetensors").read_bytes() == weights.read_bytes()


def test_training_lowers_the_loss(data: Path, base: Path, tmp_path: Path) -> None:
    lines: list[Any] = []
    run(Recipe(base, base, replace(SCHEDULE, steps=100)), [MADE], data, tmp_path, {}, lines.append)
    untrained, trained = (_loss_on(data, path) for path in (base, tmp_path / "reader.safetensors"))
    assert trained < untrained - 1


def _loss_on(data: Path, weights: Path) -> float:
    corpus = encode(load_sources(data, [MADE]))
    rows = list(range(len(corpus.examples)))
    others = [corpus.examples[(at + 1) % len(rows)].text for at in rows]
    batch = make_batch(corpus, rows, others, np.random.default_rng(0), 0)
    reader = load_reader(weights)
    reader.train(False)
    types = torch.from_numpy(batch.types)
    with torch.no_grad():
        spans, relevance = reader(torch.from_numpy(batch.ids), types, torch.from_numpy(batch.mask))
    return float(compute_loss(spans, relevance, types, torch.from_numpy(np.stack([batch.starts, batch.ends], 1))))


def test_a_student_has_fewer_layers_and_is_taught(data: Path, base: Path, tmp_path: Path) -> None:
    recipe = Recipe(base, base, replace(SCHEDULE, steps=4), student_layers=1, student_schedule=SCHEDULE)
    run(recipe, [MADE], data, tmp_path, {})
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["model"] for line in log if "model" in line] == ["reader", "student"]
    assert load_reader(tmp_path / "reader.safetensors").config.num_hidden_layers == 1


def test_data_may_lie_in_an_archive(data: Path, tmp_path: Path) -> None:
    content = (data / "made.jsonl").read_bytes()
    with tarfile.open(tmp_path / "train.tar.xz", "w:xz") as archive:
        member = tarfile.TarInfo("made.jsonl")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    assert load_sources(tmp_path, [MADE]) == load_sources(data, [MADE])


def test_a_source_that_is_missing_is_named(data: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.jsonl is neither in"):
        load_sources(data, [Source("absent", "nowhere", "none")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": [{"text": "99 metres", "start": 4}]}, "made-1 does not stand in its context"),
        ({"answers": [{"text": " ", "start": 5}]}, "made-1 does not stand in its context"),
        ({"answerable": False}, "made-1 is called unanswerable and is not"),
        ({"answers": []}, "made-1 is called answerable and is not"),
        ({"question": None}, "line 1 is no question"),
    ],
)
def test_an_answer_that_does_not_stand_where_it_says_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_example(json.dumps({**row(1), **change}), "made.jsonl, line 1")


def test_only_sources_with_a_clear_licence_are_taken_unless_asked() -> None:
    assert "doc2dial" not in [source.name for source in choose_sources()]
    assert choose_sources(with_unclear=True) == list(SOURCES)
    assert [source.name for source in choose_sources(names=["tatqa"])] == ["tatqa"]
    with pytest.raises(DataError, match="no source squad3"):
        choose_sources(names=["squad3"])


def test_articles_that_are_kept_back_are_not_learnt_from(data: Path) -> None:
    examples = load_sources(data, [MADE])
    left, kept = keep_back(examples)
    assert kept
    assert left
    assert not {one.title for one in left} & {one.title for one in kept}
    # Another source about the same paragraph is left out of both.
    other = replace(kept[0], id="other", source="qamr", title="")
    assert keep_back([*examples, other]) == (left, kept)


def test_a_question_is_also_asked_of_the_text_nearest_to_it_that_has_no_answer() -> None:
    asked = example("The tower is 76 metres tall.", "76 metres", "How tall is the tower?")
    same = example("A tower may be 76 metres tall too.")
    near, far = example("The tower is of granite.", "granite", "colour?"), example("Bread.", "Bread", "bread?")
    added = add_unanswerable([asked, same, near, far])[4:]
    assert next(one.context for one in added) == near.context
    assert not any(one.answers for one in added)


def test_a_limit_draws_the_same_questions_every_time(data: Path) -> None:
    few = load_sources(data, [replace(MADE, limit=7)])
    assert len(few) == 7
    assert few == load_sources(data, [replace(MADE, limit=7)])


def test_an_answer_is_found_in_its_tokens() -> None:
    corpus = encode([example("Zoë paid $1.5M, he said.", "$1.5M"), example("Nothing.", question="why?")])
    assert [one.span for one in corpus.examples] == [(2, 6), None]
    assert find_span(np.array([[0, 3], [4, 6]]), 6, 7) is None


def test_a_stretch_is_of_whole_sentences_and_holds_the_answer() -> None:
    text = Text(np.arange(40, dtype=np.int32), np.array([0, 10, 20, 30], dtype=np.int32))
    draw = np.random.default_rng(1)
    stretches = {crop(text, (12, 13), draw, always=True) for _ in range(200)}
    assert stretches == {(low, high) for low in (0, 10) for high in (20, 30, 40)}
    assert crop(text, (12, 13), draw, always=False) == (0, 40)
    long = Text(np.arange(2000, dtype=np.int32), np.array([0], dtype=np.int32))
    for _ in range(50):
        low, high = crop(long, (700, 705), draw, always=False)
        assert low <= 700
        assert high > 705
        assert high - low <= 320


def test_a_batch_shows_each_question_beside_its_own_text_and_beside_another() -> None:
    corpus = encode([example("Nasoni built it.", "Nasoni"), example("Granite is hard.", question="why?")])
    batch = make_batch(corpus, [0, 1], [1, 0], np.random.default_rng(0), 0)
    assert batch.starts.tolist() == [4, 0, 0, 0]
    own = corpus.texts[0].ids.tolist()
    assert batch.ids[0, 4 : 4 + len(own)].tolist() == own
    assert batch.ids[3, 4 : 4 + len(own)].tolist() == own
    assert batch.ids.shape[1] % 8 == 0
    assert batch.types[0].sum() == len(own) + 1
    assert batch.mask[0].sum() == len(own) + 5


def test_a_negative_is_near_and_holds_no_answer() -> None:
    corpus = encode(
        [
            example("The tower is 76 metres tall.", "76 metres", "How tall is the tower?"),
            example("Towers of 76 metres are tall.", question="mayor?"),
            example("The tower is of granite.", question="colour?"),
            example("Bread is baked.", question="bread?"),
        ]
    )

    def embed(texts: Sequence[Any]) -> torch.Tensor:
        # As near as they share tokens.
        bags = torch.zeros(len(texts), 30522)
        for at, ids in enumerate(texts):
            bags[at, torch.from_numpy(ids.astype(np.int64))] = 1
        return torch.nn.functional.normalize(bags, dim=-1)

    negatives = mine(corpus, embed, seed=0)
    assert negatives.shape == (4, COUNT)
    # Its own text and the one that holds its answer are none; the next nearest comes first.
    assert negatives[0, :2].tolist() == [2, 3]
    assert holds(np.array([7, 1, 2], dtype=np.int32), np.array([1, 2], dtype=np.int32).tobytes())
    assert not holds(np.array([1, 7, 2], dtype=np.int32), np.array([1, 2], dtype=np.int32).tobytes())


def _gold(certain: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Make logits that are right by a margin: text at 3 to 5, [SEP] at 6; the answer is 4 to 5 in the first row."""
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 0]] * 2)
    gold = torch.tensor([[4, 5], [0, 0]])
    spans = torch.zeros(2, 8, 2)
    for at in range(2):
        spans[at, gold[at, 0], 0] = spans[at, gold[at, 1], 1] = certain
    return spans, torch.tensor([certain, -certain]), types, gold


def test_the_loss_is_none_where_all_is_right_and_known_where_nothing_is() -> None:
    assert float(compute_loss(*_gold(50.0))) == pytest.approx(0, abs=1e-4)
    # [CLS] and three tokens of the text are possible; both texts together have six.
    undecided = math.log(4) + math.log(6) / 2 + math.log(2) / 2
    assert float(compute_loss(*_gold(0.0))) == pytest.approx(undecided, abs=1e-4)


def test_a_reader_like_its_teacher_is_not_taught() -> None:
    spans, relevance, types, _ = _gold(3.0)
    least = compute_distillation(spans, relevance, types, (spans, relevance))
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(relevance, torch.sigmoid(relevance)) / 2
    assert float(least) == pytest.approx(float(entropy), abs=1e-4)
    assert compute_distillation(spans + torch.randn_like(spans), relevance, types, (spans, relevance)) > least


class ReaderOfLetters:
    """A reader for which the answer is where the text says it is: between the capital letters."""

    name = "letters"
    window = 384
    fingerprint: dict[str, object] = {}  # noqa: RUF012

    def load(self) -> None:
        pass

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Reading]:
        return [self._read(text) for _, text in pairs]

    def _read(self, text: str) -> Reading:
        capital = np.array([letter.isupper() for letter in text], dtype=np.float32)
        offsets = np.array([(at, at + 1) for at in range(len(text))], dtype=np.int64).reshape(-1, 2)
        return Reading(offsets, capital, capital, null=1.0, relevance=float(capital.sum()))


def test_measures_are_those_of_squad() -> None:
    measures = evaluate(
        ReaderOfLetters(),
        [example("it is B", "B"), example("it is C or d", "C or d"), example("it is e"), example("it is f")],
    )
    assert (measures.questions, measures.answerable) == (4, 2)
    assert (measures.em, measures.f1) == (0.5, 0.75)
    # Everything that is lower case is "no answer", which is right twice.
    assert (measures.null_em, measures.null_f1) == (0.75, 0.875)
    assert measures.auroc == measures.relevance_auroc == 1.0


def test_nothing_read_is_no_span() -> None:
    assert best_span(ReaderOfLetters()._read("")) is None
    assert compute_auroc(np.array([1.0, 1.0]), np.array([True, False])) == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "--data", "{folder}", "--base", "{base}", "--out", "{folder}/out"],
            "squad11_train.jsonl is neither",
        ),
        (["evaluate", "{base}", "{folder}/absent"], "is no question set"),
    ],
)
def test_the_command_says_what_is_missing(
    arguments: list[str], message: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(folder=tmp_path, base=base) for argument in arguments]) == 1
    assert message in capsys.readouterr().err


def test_the_command_exports_and_evaluates(
    base: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "reader.safetensors"
    assert main(["export", str(base), str(file)]) == 0
    assert main(["evaluate", str(file), str(data / "made.jsonl")]) == 0
    exported, evaluated = map(json.loads, capsys.readouterr().out.splitlines()[-2:])
    assert exported["size"] == file.stat().st_size
    assert evaluated["questions"] == 40


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/reader/data is not there")
def test_the_spans_of_the_data_beside_the_project_are_right() -> None:
    examples = load_sources(SHARED, choose_sources(names=["tatqa", "timeqa"]))
    assert len(examples) == 663 + 2099
