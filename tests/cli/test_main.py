"""The command line as a shell sees it: output, exit codes, and one line for each error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import indent

import pytest

from qa.cli.flags import load_settings
from qa.cli.replies import describe_answer
from qa.settings import Settings
from qa.types import Alternative, Answer, Citation, Span
from qa.web.api.responses import AnswerBody
from tests.conftest import Build
from tests.support.fake_service import FERRY, FakeService
from tests.support.served import serving

pytestmark = pytest.mark.slow

QA = Path(sys.executable).parent / "qa"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [QA, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def indexes(build: Build, settings: Settings) -> str:
    build()
    return str(settings.indexes)


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["index"],
        ["ask"],
        ["serve"],
        ["snapshots"],
        ["snapshots", "list"],
        ["snapshots", "activate"],
        ["snapshots", "prune"],
        ["snapshots", "verify"],
    ],
    ids=" ".join,
)
def test_every_command_has_help(command: list[str]) -> None:
    shown = run(*command, "--help")
    assert shown.returncode == 0
    assert f"Usage: qa {' '.join(command)}".strip() in shown.stdout


@pytest.mark.parametrize(("access", "umask"), [(None, 0o077), ("group", 0o027), ("everyone", 0o022)])
def test_what_a_command_writes_is_for_whom_the_settings_say(
    monkeypatch: pytest.MonkeyPatch, access: str | None, umask: int
) -> None:
    if access is not None:
        monkeypatch.setenv("QA_ACCESS", access)
    load_settings()
    assert os.umask(0o022) == umask


def logging_command(body: str) -> subprocess.CompletedProcess[str]:
    """Run a command that logs, in a process of its own: the log is configured once in each."""
    code = (
        "import structlog, typer; from qa.cli.main import app\n"
        "log = structlog.get_logger()\n"
        f"@app.command()\ndef warn():\n{indent(body, '    ')}\n"
        "app(['warn'])"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


def test_warnings_are_not_among_what_was_asked_for() -> None:
    done = logging_command("log.warning('careful'); typer.echo('{}')")
    assert done.stdout == "{}\n"
    assert "careful" in done.stderr


def test_warnings_are_sentences_for_the_person_who_waits() -> None:
    done = logging_command(
        "log.debug('a graph cannot be kept', reason='the disk is full')\n"
        "log.info('index updated', seconds=3)\n"
        "log.warning('model not kept; compiling it', reason='the disk is\\n\\x1b[31mfull', file='a.bin')"
    )
    assert done.stderr == "qa: warning: model not kept; compiling it (file a.bin): the disk is\\n\\x1b[31mfull\n"


def test_what_went_wrong_in_the_code_is_one_line() -> None:
    done = logging_command(
        "try:\n    {}['key']\nexcept KeyError as error:\n    log.warning('left out', exc_info=error)\n"
        "    log.warning('again', exc_info=True)"
    )
    assert done.stderr == "qa: warning: left out: KeyError: 'key'\nqa: warning: again: KeyError: 'key'\n"


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, qa.cli.main; print({'numpy', 'pydantic', 'faiss', 'fastapi', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize(
    "module",
    ["qa.service.service", "qa.web.app", "qa.web.server", "qa.index.snapshots", "qa.models.sentence_transformers"],
)
def test_neither_torch_nor_faiss_is_imported_before_it_is_needed(module: str) -> None:
    code = f"import sys, {module}; print({{'faiss', 'torch', 'sentence_transformers', 'scipy'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "/no/such/folder"], "/no/such/folder"),
        (["ask", "x", "--name", "absent"], "no index named 'absent'"),
        (["serve", "--name", "absent"], "begin with an empty one: qa serve --create --name absent"),
        (["serve", "--create", "--name", "test"], "the index 'test' was made of other folders"),
        (["serve", "--watch", "--name", "test"], "set QA_MODEL to the snapshot's model, or build the index again"),
        (["ask", "x", "--name", "../up"], "'../up' is no name for an index"),
        (["snapshots", "list", "--name", "absent"], "no index named 'absent'"),
        (["snapshots", "activate", "nope", "--name", "test"], "no snapshot 'nope' in index 'test'; there are: 2"),
        (["snapshots", "verify", "nope", "--name", "test"], "no snapshot 'nope' in index 'test'; there are: 2"),
        (["snapshots", "activate", "nope", "--name", "absent"], "no index named 'absent'"),
        (["serve", "--name", "test", "--host", "a..b"], "'a..b' is no host name"),
        (
            ["snapshots", "prune", "--keep-snapshots", "0", "--name", "test"],
            "--keep-snapshots is 0: input should be greater",
        ),
        (["ask", "", "--name", "test"], "the question is blank"),
        (["ask", "x" * 100_000, "--name", "test"], "the question has 100,000 characters; at most 2,000 are allowed"),
        (["ask", "x", "--top-k", "0", "--name", "test"], "top_k must be from 1 to 100"),
        (["ask", "x", "--name", "test"], "was made with the model hashing, and all-MiniLM-L6-v2 is in use"),
        (["ask", "x", "--name", "test", "--model", "/no/model"], "check --model or QA_MODEL"),
        (["serve", "--name", "test", "--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_an_error_is_one_line_and_exit_code_1(indexes: str, arguments: list[str], message: str) -> None:
    ended = run(*arguments, QA_INDEXES=indexes)
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("qa: error: ")
    assert message in line


@pytest.mark.parametrize("arguments", [["index"], ["ask"], ["nope"], ["ask", "x", "--top-k", "many"], ["serve", "x"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert "Usage: qa" in ended.stderr


def test_an_unknown_setting_is_named() -> None:
    ended = run("snapshots", "list", QA_PROT="1")
    assert ended.returncode == 1
    assert "no setting is called QA_PROT" in ended.stderr


def test_a_port_in_use_is_said_before_anything_is_loaded(indexes: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--name", "test", "--port", str(port), QA_INDEXES=indexes)
    assert ended.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in ended.stderr


def test_an_empty_folder_and_one_with_nothing_readable(tmp_path: Path) -> None:
    assert "there is no file to index" in run("index", str(tmp_path)).stderr
    (tmp_path / ".hidden").write_text("x")
    assert "nothing could be read: .hidden: skipped" in run("index", str(tmp_path)).stderr


def test_listing_activating_verifying_and_pruning(indexes: str, build: Build) -> None:
    build()

    def snapshots(*arguments: str) -> list[str]:
        ended = run("snapshots", *arguments, "--name", "test", QA_INDEXES=indexes)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.splitlines()

    newest, oldest = snapshots("list")
    assert newest.startswith("* ")
    assert "documents      3  passages       4" in newest
    id = oldest.split()[0]
    assert snapshots("activate", id) == [f"{id} is active."]
    assert snapshots("list")[1].startswith(f"* {id}")
    assert snapshots("verify") == [f"{id} is whole: documents 3, passages 4.", "Vectors: exact."]
    assert snapshots("prune", "--keep-snapshots", "1") == ["Removed: snapshots 0, embeddings 0."]


CITED = Citation("ferry.txt", 14, 20, 2, "Crossing", "0" * 64, "0" * 64, "verified")
NOON = Answer("answered", 0.91, "at  noon", CITED, Span(0, 21), basis="of 50 questions, 46 were right")


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (
            replace(NOON, promised_error=0.2, alternatives=(Alternative("at one", CITED),)),
            [
                "at noon",
                "  ferry.txt · characters 14 to 20 · verified · page 2 · Crossing",
                "  Confidence 91%.",
                "  Of 50 questions, 46 were right.",
                "  All answers given at this setting, taken together, are wrong at most 20% of the time.",
                "  Other values found: at one (ferry.txt · characters 14 to 20 · verified · page 2 · Crossing)",
            ],
        ),
        (
            replace(NOON, outcome="unsure", confidence=0.37, basis=""),
            [
                "Not sure; the best guess: at noon",
                "  ferry.txt · characters 14 to 20 · verified · page 2 · Crossing",
                "  Confidence 37%.",
            ],
        ),
        (
            replace(NOON, outcome="not_found", unread_files=2),
            [
                "No answer found: none of the passages that were read is about this.",
                "  2 files could not be read, or only in part, and may hold the answer; qa index says which.",
            ],
        ),
    ],
    ids=lambda value: value.outcome if isinstance(value, Answer) else "",
)
def test_an_answer_a_guess_and_nothing_found_are_told_apart(answer: Answer, lines: list[str]) -> None:
    assert list(describe_answer(AnswerBody.from_answer(answer))) == lines


@pytest.mark.model
def test_asking_for_passages_alone_and_for_a_promise(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The cat sat on the mat.\n")
    indexes = {"QA_INDEXES": str(tmp_path / "indexes")}
    assert run("index", str(tmp_path / "a.txt"), "--name", "pets", **indexes).returncode == 0
    passages = run("ask", "What is on the mat?", "--name", "pets", "--no-answer", **indexes)
    assert passages.stdout.startswith("1. a.txt\n")
    refused = run("ask", "What is on the mat?", "--name", "pets", "--max-error", "1.5", **indexes)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "1.5 is not above 0 and below 1" in refused.stderr


@pytest.mark.model
def test_indexing_and_asking_from_the_shell(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "a.txt").write_text("The cat\x1b[31m sat on the mat.\n")
    (documents / "b.txt").write_text("Ships sail on the sea.\n")
    (documents / "c.zip").write_bytes(b"PK")
    built = run("index", str(documents), "--name", "pets", QA_INDEXES=str(tmp_path / "indexes"))
    assert built.returncode == 0, built.stderr
    assert "skipped: c.zip: " in built.stderr
    assert "2 read, 1 skipped; 2 documents, 2 passages, 2 newly encoded" in built.stderr
    assert built.stderr.splitlines()[-1].endswith("of index pets is active.")
    again = run("index", str(documents), "--name", "pets", "--if-missing", QA_INDEXES=str(tmp_path / "indexes"))
    assert "The index pets exists already" in again.stdout
    less = run("index", str(documents / "b.txt"), "--name", "sea", QA_INDEXES=str(tmp_path / "indexes"))
    assert "before and has" not in less.stderr
    less = run("index", str(documents / "b.txt"), "--name", "pets", QA_INDEXES=str(tmp_path / "indexes"))
    assert "It had 2 documents before and has 1 now: an index holds what is given, and no more." in less.stderr
    back = re.search(r"qa snapshots (activate \S+ --name pets)", less.stderr)
    assert back is not None
    assert run("snapshots", *back[1].split(), QA_INDEXES=str(tmp_path / "indexes")).returncode == 0
    asked = run("ask", "What is on the mat?", "--name", "pets", QA_INDEXES=str(tmp_path / "indexes"))
    manifest = tmp_path / "indexes" / "pets" / "snapshots" / back[1].split()[1] / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 2}))
    anew = run("index", str(documents), "--name", "pets", "--if-missing", QA_INDEXES=str(tmp_path / "indexes"))
    assert "1 skipped; 2 documents, 2 passages" in anew.stderr
    assert asked.returncode == 0
    answer, place, *_ = asked.stdout.splitlines()
    assert "cat" in answer
    assert place.startswith("  a.txt · characters 0 to ")
    assert "The cat\\x1b[31m sat on the mat." in asked.stdout
    assert "\n1. a.txt\n   cosine 0." in asked.stdout
    assert "\x1b" not in asked.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "x", "--max-error", "2"],
        ["ask", "x", "--max-error", "0"],
        ["serve", "--port", "99999"],
        ["index", ".", "--passage-tokens", "0"],
        ["index", ".", "--overlap-tokens", "-1"],
    ],
)
def test_a_number_out_of_range_is_wrong_usage(arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert f"Invalid value for '{arguments[-2]}'" in ended.stderr


def test_the_version_is_shown() -> None:
    ended = run("--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("qa")
    assert len(ended.stdout.splitlines()) == 1


def test_it_runs_as_a_module_too() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "qa", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, run("--version").stdout)


@pytest.mark.parametrize("command", [[], ["ask"], ["snapshots", "list"]], ids=" ".join)
def test_help_has_a_short_flag(command: list[str]) -> None:
    ended = run(*command, "-h")
    assert (ended.returncode, ended.stdout) == (0, run(*command, "--help").stdout)


def test_a_shell_completes_commands() -> None:
    completed = run(_QA_COMPLETE="complete_bash", COMP_WORDS="qa sn", COMP_CWORD="1")
    assert completed.stdout.split() == ["snapshots"]


def test_listing_says_where_the_index_lies(indexes: str, tmp_path: Path) -> None:
    listed = run("snapshots", "list", "--name", "test", QA_INDEXES=indexes)
    assert listed.stderr == f"Index test in {indexes}:\n"
    none = subprocess.run(
        [QA, "snapshots", "list"],
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")},
        cwd=tmp_path / "documents",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"no index named 'seeds' in {tmp_path / 'data' / 'qa' / 'indexes'} (there is none yet)" in none.stderr


@pytest.mark.server
def test_a_service_is_asked_by_its_address() -> None:
    with serving(FakeService()) as address:
        asked = run("ask", "When does the ferry leave?", "--url", address, "--top-k", "1")
        as_json = run("ask", "When does the ferry leave?", "--json", "--no-answer", QA_URL=address)
        refused = run("ask", " ", "--url", address)
        of_one = run("ask", "When?", "--url", address, "--collection", "harbour", "--top-k", "1")
        filtered = run("ask", "ferry?", "--url", address, "--filter", "folder=notes", "--filter", "date>=2024")
        misspelt = run("ask", "ferry?", "--url", address, "--filter", "foldre=notes")
    assert FERRY.id in filtered.stdout
    assert "مكتبة" not in filtered.stdout
    assert misspelt.stderr.startswith("qa: error: filter: there is no field 'foldre'; did you mean folder? Fields: ")
    assert asked.returncode == 0, asked.stderr
    assert f"1. {FERRY.title} ({FERRY.id})" in asked.stdout
    assert "The ferry leaves at noon" in asked.stdout
    assert "1. harbour · " in of_one.stdout
    reply = json.loads(as_json.stdout)
    assert (reply["passages"][0]["document"]["id"], reply["answer"]) == (FERRY.id, None)
    assert (refused.returncode, refused.stderr) == (
        1,
        "qa: error: the question is blank; write what you want to know.\n",
    )


@pytest.mark.parametrize("filter", ["folder", "=hr", "date>2024"])
def test_what_is_no_condition_is_refused_before_anything_is_asked(filter: str) -> None:
    ended = run("ask", "When?", "--filter", filter)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"qa: error: filter: {filter!r} is no condition; write field=value, or field>=2024")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--url", "http://[::1"], "'http://[::1' is no address of a service"),
        (["--url", "ftp://example"], "cannot ask ftp://example"),
        (["--url", "http://127.0.0.1", "--model", "accurate"], "--model is of an index of this machine"),
        (["--collection", "hr"], "--collection is of a service, which --url names"),
    ],
)
def test_an_address_that_cannot_be_asked_is_named(arguments: list[str], message: str) -> None:
    ended = run("ask", "When?", *arguments)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"qa: error: {message}")
