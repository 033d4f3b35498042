"""What holds for every command: help, exit codes, and errors that are sentences."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from db.database import Unavailable, WrongDatabase
from handlers.registry import Gone, Refused, SinkDown, Throttled
from migrations import NotMigrated
from service.cli import COMMANDS, command_line, exits, session
from service.cli.exits import Code, Misuse, Problem, code_of
from service.settings import SettingsError
from tests.service.cli.conftest import APP, Process, Rollcall

READING = (
    ("people", "list"),
    ("people", "show", "1"),
    ("events", "list"),
    ("events", "show", "1"),
    ("events", "replay", "--failed"),
    ("actions", "list"),
    ("actions", "show", "1"),
    ("actions", "retry", "--dead"),
    ("migrate", "--down", "--yes"),
    ("serve",),
    ("doctor",),
)


LOOKS = (("--version",), ("people", "list"), ("events", "list"), ("actions", "list"), ("oncall", "show"))
LIBRARIES = {"alembic", "aiohttp", "httpx", "icalendar", "notion_client", "slack_bolt", "slack_sdk", "svix"}
ROOT = Path(__file__).parents[3]
MODULES = [file.stem for file in ROOT.glob("service/cli/*.py") if "\n@app.command(" in file.read_text()]


def commands(found: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    found = found or typer.main.get_command(APP)
    yield path, found
    for name, inner in getattr(found, "commands", {}).items():
        yield from commands(inner, (*path, name))


def name_of(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else ""


ALL = list(commands())
LEAVES = [(path, found) for path, found in ALL if not hasattr(found, "commands")]


@pytest.mark.parametrize(("path", "command"), ALL, ids=name_of)
def test_every_command_has_help(path: tuple[str, ...], command: Any, rollcall: Rollcall) -> None:
    assert command.help
    for parameter in command.params:
        assert parameter.name == "help" or parameter.help, f"{parameter.name} has no help"
    shown = rollcall(*path, "--help")
    assert shown.exit_code == 0
    assert "Usage:" in shown.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_loaded_alone_is_the_one_of_the_whole(name: str) -> None:
    alone = typer.main.get_command(command_line([name]))
    whole = shape(typer.main.get_command(APP))
    assert shape(alone) == {path: shown for path, shown in whole.items() if path[:1] in ((), (name,))}


@pytest.mark.parametrize("place", MODULES)
def test_every_module_with_commands_is_loaded_for_one_of_them(place: str) -> None:
    assert any(place in places for _panel, *places in COMMANDS.values())


def shape(found: Any) -> dict[tuple[str, ...], tuple[str, list[str]]]:
    return {path: (inner.help, [parameter.name for parameter in inner.params]) for path, inner in commands(found)}


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_a_look_at_the_database_waits_for_no_platforms_library(words: tuple[str, ...], folder: Path) -> None:
    script = "import sys, service.cli\ntry: service.cli.main()\nfinally: print(*sys.modules, file=sys.stderr)"
    run = [sys.executable, "-c", script, *words]
    ended = subprocess.run(  # noqa: S603
        run, check=False, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    imported = {name.partition(".")[0] for name in ended.stderr.split()}
    assert imported & LIBRARIES == set()


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=name_of)
def test_every_command_can_speak_json(path: tuple[str, ...], command: Any) -> None:
    assert any("--json" in parameter.opts for parameter in command.params), path


def test_each_exit_code_stands_for_one_end() -> None:
    assert len({code.value for code in Code}) == len(Code.__members__)
    assert len({code.meaning for code in Code}) == len(Code.__members__)


def test_the_help_lists_every_exit_code(rollcall: Rollcall) -> None:
    shown = " ".join(rollcall("--help").stdout.split())
    for code in Code:
        assert f"{code.value} {code.meaning}" in shown


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Problem("no"), 1),
        (Misuse("no"), 2),
        (SettingsError("no"), 2),
        (WrongDatabase("no"), 2),
        (NotMigrated("no"), 3),
        (Unavailable("no"), 3),
        (SinkDown("no"), 4),
        (Throttled("no", 1), 4),
        (Refused("no"), 4),
        (Gone("no"), 4),
        (ZeroDivisionError("no"), 5),
    ],
)
def test_every_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert code_of(error) == code


def test_the_version_is_printed(rollcall: Rollcall) -> None:
    assert rollcall("--version").stdout.startswith("rollcall ")


def test_an_unexpected_error_is_one_sentence_and_a_hint(rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(session, "settings", broken)
    ended = rollcall("people", "list")
    assert ended.exit_code == Code.FAULT
    assert ended.stdout == ""
    assert "ZeroDivisionError: by nought" in ended.stderr
    assert f"{exits.DEBUG}=1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_with_debugging_on_an_unexpected_error_shows_where(rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(session, "settings", broken)
    assert isinstance(rollcall("people", "list", ROLLCALL_DEBUG="1").exception, ZeroDivisionError)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_no_command_but_migrate_makes_a_database(command: tuple[str, ...], rollcall: Rollcall, folder: Path) -> None:
    ended = rollcall(*command, DATABASE_URL="sqlite:///elsewhere.db")
    assert ended.exit_code == (1 if command == ("doctor",) else 3)
    assert "run `rollcall migrate`" in ended.output
    assert not (folder / "elsewhere.db").exists()


@pytest.mark.parametrize("command", [one for one in READING if one[0] != "doctor"], ids=" ".join)
def test_wrong_settings_are_all_named(command: tuple[str, ...], rollcall: Rollcall) -> None:
    ended = rollcall(*command, PORT="many", LOG_LEVEL="LOUD", SLACK_BOT_TOKEN="xoxp-wrong")
    assert ended.exit_code == 2
    assert ended.stdout == ""
    for name in ("PORT", "LOG_LEVEL", "SLACK_BOT_TOKEN"):
        assert f"error: {name} " in ended.stderr
    assert "wrong" not in ended.stderr


def test_a_file_that_is_no_database_is_no_traceback(rollcall: Rollcall, folder: Path) -> None:
    (folder / "other.db").write_text("these are not the bytes you are looking for" * 100)
    for command in (("people", "list"), ("migrate",)):
        ended = rollcall(*command, DATABASE_URL="sqlite:///other.db")
        assert ended.exit_code == 3
        assert "not a database" in ended.stderr


def test_the_process_ends_with_the_same_codes(process: Process) -> None:
    child = process("people", "list", DATABASE_URL="mysql://x")
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (2, "")
    assert err.startswith("error: DATABASE_URL ")


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("events", "list", "--source"), "'clerk', 'slack'"),
        (("actions", "list", "--sink"), "'notion', 'slack', 'clock'"),
        (("actions", "list", "--status"), "'due', 'leased', 'settled', 'dead'"),
        (("people", "list", "--rotation"), "'AM', 'Core', 'PM'"),
    ],
)
def test_a_filter_refuses_what_it_does_not_know_and_names_what_it_knows(
    rollcall: Rollcall, words: tuple[str, ...], known: str
) -> None:
    ended = rollcall(*words, "nonsense")
    assert ended.exit_code == 2
    assert known in " ".join(ended.stderr.replace("│", " ").split())


TOO_LARGE = str(2**63)
BY_ROW_ID = (
    ("actions", "show", TOO_LARGE),
    ("actions", "retry", TOO_LARGE),
    ("people", "list", "--after", TOO_LARGE),
    ("oncall", "feed", "--revoke", TOO_LARGE),
)


@pytest.mark.parametrize("words", BY_ROW_ID, ids=name_of)
def test_a_row_id_no_database_can_hold_is_wrong_usage(words: tuple[str, ...], rollcall: Rollcall) -> None:
    ended = rollcall(*words)
    assert (ended.exit_code, ended.stdout) == (Code.USAGE, ""), ended.stderr
    assert "less than or equal to" in " ".join(ended.stderr.split())


@pytest.mark.parametrize("words", [("people", "show"), ("events", "show"), ("erase", "--yes"), ("oncall", "show")])
def test_what_is_no_text_is_wrong_usage(words: tuple[str, ...], rollcall: Rollcall) -> None:
    """A byte that is not UTF-8 comes as a lone surrogate."""
    ended = rollcall(*words, "ad\udcffa")
    assert (ended.exit_code, ended.stdout) == (Code.USAGE, ""), ended.stderr
    assert "UTF-8" in ended.stderr
