"""The classifier of languages as it is kept and mapped; the package's own is the reference."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier
from structlog.testing import capture_logs

from qa.models.languages import Classifier, detect_language, load_classifier
from qa.text.words import STEMMERS

TEXTS = [
    "Apples grow on trees. They are red or green.",
    "THE WHOLE LABEL OF A BOTTLE IS IN CAPITAL LETTERS.",
    "Die Äpfel wachsen auf den Bäumen und sind rot oder grün.",
    "Cafe\u0301 et the\u0301, servis a\u0300 toute heure",
    "Сливы растут на деревьях, а груши созревают осенью.",
    "Јабуке расту на дрвећу, а крушке сазревају у јесен.",
    "Jabuke rastu na drveću, a kruške sazrevaju u jesen.",
    "تفتح المكتبة أبوابها في التاسعة صباحا، وتغلق في السادسة مساء.",
    "图书馆上午九点开门，下午六点关门。",
    "図書館は午前九時に開きます。",
    "ห้องสมุดเปิดเวลาเก้าโมงเช้า",
    "도서관은 오전 아홉 시에 문을 엽니다.",
    "Thư viện mở cửa lúc chín giờ sáng.",
    "half of a surrogate pair \ud83d stays",
    "",
    "1, 2, 3; 4 %",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return load_classifier(folder)


@pytest.fixture(scope="module")
def reference() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(sorted({*STEMMERS, "ja", "ko", "th", "vi", "zh"}))
    return identifier


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (TEXTS[0], "en"),
        (TEXTS[2], "de"),
        (TEXTS[4], "ru"),
        (TEXTS[7], "ar"),
        (TEXTS[8], ""),
        (TEXTS[10], ""),
        (TEXTS[15], ""),
        ("", ""),
    ],
)
def test_the_language_of_a_text(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_labels_are_those_of_the_package(classifier: Classifier, reference: LanguageIdentifier) -> None:
    chance = np.random.default_rng(5)
    cut = [text[at : at + 12] for text in TEXTS for at in range(0, len(text), 7)]
    mixed = ["".join(chance.choice(list("".join(TEXTS)), 40)) for _ in range(200)]
    for text in [*TEXTS, *cut, *mixed]:
        assert classifier.classify(text) == reference.classify(text)[0], text


def test_what_is_kept_is_mapped_without_the_package(folder: Path, classifier: Classifier) -> None:
    """Importing the package is a sign that its model was unpacked."""
    program = """
import json, sys
from pathlib import Path
from qa.models.languages import load_classifier
kept = load_classifier(Path(sys.argv[1]))
print(json.dumps([[kept.classify(text) for text in json.loads(sys.argv[2])], "py3langid" in sys.modules]))
"""
    command = [sys.executable, "-c", program, str(folder), json.dumps(TEXTS)]
    labels, imported = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert labels == [classifier.classify(text) for text in TEXTS]
    assert not imported
    assert [path.suffix for path in folder.iterdir()] == [".bin"]


@pytest.fixture
def kept(folder: Path, classifier: Classifier, tmp_path: Path) -> Path:
    """Copy what is kept: a file that is damaged where it lies ends whoever has mapped it."""
    (path,) = folder.iterdir()
    return Path(shutil.copy(path, tmp_path))


@pytest.mark.parametrize("at", [2, 5_000])
def test_a_damaged_file_is_made_again(kept: Path, at: int) -> None:
    whole = kept.read_bytes()
    damaged = bytearray(whole)
    damaged[at] ^= 1
    kept.write_bytes(damaged)
    with capture_logs() as logs:
        assert load_classifier(kept.parent).classify(TEXTS[2]) == "de"
    assert [line["log_level"] for line in logs] == ["warning"]
    assert kept.read_bytes() == whole


def test_what_another_version_of_the_package_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "languages-0123456789abcdef.bin").write_bytes(b"another")
    load_classifier(tmp_path)
    (left,) = tmp_path.glob("languages-*.bin")
    assert left.read_bytes() != b"another"


def test_an_empty_file_is_replaced(kept: Path) -> None:
    kept.write_bytes(b"")
    assert load_classifier(kept.parent).classify(TEXTS[2]) == "de"
    assert kept.stat().st_size > 10**7


def test_where_nothing_can_be_kept_it_stays_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert load_classifier(tmp_path / "file" / "folder").classify(TEXTS[2]) == "de"
    assert load_classifier(None).classify(TEXTS[2]) == "de"
