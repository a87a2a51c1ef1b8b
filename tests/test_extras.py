"""What an install has without extras, and what it says of the rest; the packages that it lacks are hidden."""

from __future__ import annotations

import json
import typing
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qa.extras import _MODULES, Extra
from tests.support import installed
from tests.support.fake_service import FakeService
from tests.support.served import serving

pytestmark = pytest.mark.slow

COMMAND = "from qa.cli.main import main\nmain()\n"
# Every command with something for each of its arguments, one after the other, and how each ends.
EACH_COMMAND = """
import contextlib, io, json
import typer.main
from qa.cli.main import app, main

def commands(command, words):
    subs = getattr(command, "commands", {})
    if not subs:
        required = [each for each in command.params if each.required]
        flags = [[each.opts[0]] if each.param_type_name == "option" else [] for each in required]
        either = ["Why?"] if words == ["ask"] else []
        yield words, [*either, *(word for flag in flags for word in [*flag, "pyproject.toml"])]
    for name, sub in subs.items():
        yield from commands(sub, [*words, name])

ends = {}
for words, given in commands(typer.main.get_command(app), []):
    for flags in (["-h"], given):
        sys.argv, stdout, stderr = ["qa", *words, *flags], io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                code = main()
            except SystemExit as error:
                code = error.code
            except BaseException as error:
                code = repr(error)
        ends[" ".join([*words, *flags[:1]]) if flags == ["-h"] else " ".join(words)] = [code, stderr.getvalue()]
print(json.dumps(ends))
"""


def test_each_command_names_the_extra_that_it_lacks() -> None:
    ended = installed.run((), EACH_COMMAND)
    assert ended.returncode == 0, ended.stderr
    ends: dict[str, list[object]] = json.loads(ended.stdout)
    helps = {name: end for name, end in ends.items() if name.endswith("-h")}
    assert {code for code, *_ in helps.values()} == {0}
    for name, end in ends.items():
        if name not in helps:
            of_a_service = " without --url" if name == "ask" else ""
            needs = f"qa: error: qa {name}{of_a_service} needs qa[serve]: pip install 'qa[serve]'\n"
            assert end == [1, needs], name
    assert len(ends) - len(helps) == len(helps) >= 15


@pytest.mark.server
def test_a_service_is_asked_without_any_extra() -> None:
    with serving(FakeService()) as address:
        asked = installed.run((), COMMAND, "ask", "When does the ferry leave?", "--url", address)
        by_hand = installed.run(
            (),
            "from qa.client import Client\n"
            f"with Client({address!r}) as client: print(client.ask('When does the ferry leave?').passages[0].text)\n"
            "print(sorted(set(sys.modules) & {'numpy', 'torch', 'openvino', 'faiss', 'fastapi', 'starlette'}))\n",
        )
    assert asked.returncode == 0, asked.stderr
    assert "The ferry leaves at noon" in asked.stdout
    assert "The ferry leaves at noon" in by_hand.stdout
    assert by_hand.stdout.endswith("[]\n")


# Without what Windows lacks of the standard library, as far as the package uses it.
WITHOUT_POSIX = """
import os, platform
for name in ("O_DIRECTORY", "O_NOFOLLOW", "geteuid", "fork", "killpg"):
    delattr(os, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
"""
# Other packages would look for what Windows has instead.
AS_WINDOWS = f'{WITHOUT_POSIX}platform.system = lambda: "Windows"\n'


@pytest.mark.server
def test_without_what_posix_has_a_service_is_asked_and_the_rest_says_where_it_runs() -> None:
    with serving(FakeService()) as address:
        asked = installed.run((), WITHOUT_POSIX + COMMAND, "ask", "When does the ferry leave?", "--url", address)
    assert asked.returncode == 0, asked.stderr
    assert "The ferry leaves at noon" in asked.stdout
    ended = installed.run(("serve",), AS_WINDOWS + COMMAND, "index", "documents")
    assert ended.returncode == 1
    assert ended.stderr.startswith("qa: error: qa index does not run on Windows itself; run it in WSL or in the image")


@pytest.mark.model
def test_documents_are_indexed_and_asked_without_torch(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "ferry.txt").write_text("The ferry to Ona leaves at noon.\n", encoding="utf-8")
    indexes = {"QA_INDEXES": str(tmp_path / "indexes")}
    built = installed.run(("serve",), COMMAND, "index", str(tmp_path / "documents"), **indexes)
    assert built.returncode == 0, built.stderr
    asked = installed.run(("serve",), COMMAND, "ask", "When does the ferry to Ona leave?", **indexes)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.splitlines()[0].endswith("noon")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"QA_MODEL": "no-folder"},
            "there is no folder 'no-folder', and fetching a model from a hub needs qa[build]: pip install 'qa[build]'",
        ),
        (
            {"QA_PRECISION": "int8"},
            "the model all-MiniLM-L6-v2 was not compiled (the precision int8 needs the package nncf; install "
            "qa[int8]), and running it as it is needs qa[build]: pip install 'qa[build]'",
        ),
        (
            {"QA_PRECISION": "int8-static"},
            "compiling the model all-MiniLM-L6-v2 needs qa[build]: pip install 'qa[build]'",
        ),
    ],
    ids=["another model", "integers", "integers of activations"],
)
def test_what_needs_torch_is_said(environment: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Ships sail on the sea.\n", encoding="utf-8")
    indexes = {"QA_INDEXES": str(tmp_path / "indexes")}
    ended = installed.run(("serve",), COMMAND, "index", str(tmp_path / "a.txt"), **indexes, **environment)
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"qa: error: {message}\n")


@pytest.mark.parametrize("extra", typing.get_args(Extra))
def test_what_stands_for_an_extra_comes_with_it_alone(extra: Extra) -> None:
    own = {canonicalize_name(Requirement(each).name) for each in installed.required(extra)}
    base = installed.distributions()
    for module in _MODULES[extra]:
        names = {canonicalize_name(name) for name in packages_distributions()[module]}
        assert names & own
        assert not names & base
