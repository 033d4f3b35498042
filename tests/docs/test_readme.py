"""What README and docs tell the reader to type exists: each command line is parsed by the real program."""

import re
from pathlib import Path

import pytest
from typer.exceptions import TyperException

from handlers.clerk.events import dispatch as clerk
from handlers.slack.events import dispatch as slack
from service.cli.doctor.outside import CHANNEL_SCOPE, SCOPES
from tests.docs.pages import FENCE, PAGES, ROOT, code_of, command_lines, commands, name_of, program, text_of

LONGEST_README = 250
PLACEHOLDERS = {"ID": "1", "PLATFORM": "clerk"}
LINES = [(name_of(page), " ".join(line)) for page in PAGES for line in command_lines(text_of(page))]
README = text_of(ROOT / "README.md")
TOP_LEVEL = ("rate_limited",)  # Slack sends app_rate_limited unasked: it cannot be subscribed to


def resolve(line: str) -> None:
    """Parse a command line as the program would, without running it. Raises TyperException, or AssertionError."""
    command, words = program(), [PLACEHOLDERS.get(word, word) for word in line.split()]
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]!r}"
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands"):
        known = {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}
        assert set(words) <= known, f"unknown options {words}"
        return
    command.make_context("rollcall", words)


def test_there_is_something_to_check() -> None:
    assert len(LINES) > 60
    assert ("README.md", "import roster people.csv") in LINES


@pytest.mark.parametrize(("page", "line"), sorted(set(LINES)))
def test_a_command_line_is_understood(page: str, line: str) -> None:
    try:
        resolve(line)
    except TyperException as error:
        pytest.fail(f"{page}: rollcall {line}: {error.format_message()}")


@pytest.mark.parametrize(
    "line", ["imports clerk", "events list --state failed", "events show", "import clerk FILE", "--x"]
)
def test_a_command_line_that_is_wrong_is_noticed(line: str) -> None:
    with pytest.raises((TyperException, AssertionError)):
        resolve(line)


def test_every_make_target_exists() -> None:
    there = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for code in code_of(text_of(page))
        for target in re.findall(r"(?:^|\s)make ([a-z]+)", code)
    }
    assert named - there == set()
    assert {"demo", "test", "install"} <= named


def test_the_readme_stays_readable() -> None:
    assert len(README.splitlines()) < LONGEST_README


def test_the_readme_names_every_event_to_tick() -> None:
    asked = {kind for kind in (*clerk.handlers, *slack.handlers) if not kind.endswith(TOP_LEVEL)}
    assert [kind for kind in sorted(asked) if not re.search(rf"[`\s]{re.escape(kind)}[`\s]", README)] == []


def test_the_manifest_asks_for_the_scopes_the_doctor_checks() -> None:
    manifest = re.search(r"bot:\n((?: +- .*\n)+)", README)
    assert manifest
    assert set(re.findall(r"- ([a-z:.]+)", manifest[1])) == {*SCOPES, CHANNEL_SCOPE}


def test_the_demo_is_shown_as_it_is() -> None:
    """The figures differ from run to run; the words in the tables do not."""
    block = next(block for block in FENCE.findall(README) if " in the end" in block)
    labels = re.findall(r"^ {1,3}([a-z][a-z ,]*?)  +", block, re.MULTILINE)
    source = text_of(ROOT / "service" / "cli" / "demo.py")
    assert len(labels) > 10
    assert [label for label in labels if f'"{label}"' not in source] == []


def test_the_procfile_runs_what_there_is() -> None:
    lines = [line.partition(": rollcall ")[2] for line in text_of(ROOT / "Procfile").splitlines()]
    assert [tuple(line.split()) for line in lines] == [("migrate",), ("serve",), ("worker",)]
    assert {("migrate",), ("serve",), ("worker",)} <= commands().keys()


def test_every_file_that_is_named_is_there() -> None:
    pattern = re.compile(r"(?:service|handlers|db|migrations|tests|docs|benchmarks)/[\w/.-]*")
    named = {
        (name_of(page), code)
        for page in PAGES
        for code in code_of(text_of(page))
        if pattern.fullmatch(code) and "NNN" not in code
    }
    assert [one for one in sorted(named) if not Path(ROOT / one[1]).exists()] == []
    assert len(named) > 20
