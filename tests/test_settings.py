"""The environment is read once, with a message for each thing that can be wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qa.errors import SettingsError
from qa.settings import load_settings


def test_defaults_need_no_environment() -> None:
    settings = load_settings()
    assert (settings.name, settings.host, settings.port) == ("seeds", "127.0.0.1", 8000)


def test_indexes_are_found_from_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert load_settings().indexes == tmp_path / "data" / "qa" / "indexes"
    # A folder of the working folder wins, and a variable over both.
    (tmp_path / "indexes").mkdir()
    assert load_settings().indexes == Path("indexes")
    monkeypatch.setenv("QA_INDEXES", str(tmp_path / "elsewhere"))
    assert load_settings().indexes == tmp_path / "elsewhere"


def test_without_a_data_folder_the_indexes_are_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # What is not absolute counts as not set, by the specification.
    for data in ("", "relative"):
        monkeypatch.setenv("XDG_DATA_HOME", data)
        assert load_settings().indexes == tmp_path / "home" / ".local" / "share" / "qa" / "indexes"


def test_the_environment_sets_and_a_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_PORT", "9000")
    monkeypatch.setenv("QA_NAME", "mine")
    settings = load_settings(port=9001, name=None)
    assert (settings.port, settings.name) == (9001, "mine")


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_PROT", "9000")
    with pytest.raises(SettingsError, match=r"no setting is called QA_PROT; the settings are .*QA_PORT"):
        load_settings()


def test_what_only_the_tests_read_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_REQUIRE_BROWSER", "1")
    assert load_settings().port == 8000


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("QA_PORT", "abc", "QA_PORT is 'abc': input should be a valid integer"),
        ("QA_PORT", "70000", "QA_PORT is '70000': input should be less than or equal to 65535"),
        # Whoever does not say how many asks for five.
        ("QA_MAX_TOP_K", "4", "QA_MAX_TOP_K is '4': input should be greater than or equal to 5"),
        ("QA_PASSAGE_TOKENS", "3", "QA_PASSAGE_TOKENS is '3': input should be greater than or equal to 16"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_an_overlap_beyond_half_the_passage_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_PASSAGE_TOKENS", "40")
    with pytest.raises(SettingsError, match=r"QA_OVERLAP_TOKENS\) is 32: .*QA_PASSAGE_TOKENS\), which is 40"):
        load_settings()


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    with pytest.raises(SettingsError, match="--port is -1: input should be greater"):
        load_settings(port=-1)


def test_one_process_serves_what_milvus_lite_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QA_MILVUS", "vectors.db")
    assert load_settings().workers == 1
    with pytest.raises(SettingsError, match="one process alone can open; serve with --workers 1"):
        load_settings(workers=2)
