"""The documentation as tests read it: pages, their sections and tables, and every command line in them."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from service.cli import command_line

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLE = ROOT / ".env.example"
PACKAGES = ("service", "handlers", "db", "migrations")

FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[/=;&]|\s)rollcall((?: +[^\s|&;#`]+)+)")
FIRST_WORDS = re.compile(r"[a-z]|--")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def operations() -> str:
    return text_of(ROOT / "docs" / "operations.md")


def section(text: str, heading: str) -> str:
    """What stands under this heading, down to the next one of the same or a higher level."""
    level = heading.split(" ", 1)[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    return found[1]


def without_subsections(text: str) -> str:
    return re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row but the heads; a cell's text as it stands."""
    found = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in found]
    rules = [index for index, row in enumerate(cells) if all(set(cell) <= set("-: ") and cell for cell in row)]
    heads = {index - 1 for index in rules}
    return [row for index, row in enumerate(cells) if index not in heads and index not in rules]


def codes(cell: str) -> list[str]:
    """What stands between backticks."""
    return INLINE.findall(cell)


def code_of(text: str) -> Iterator[str]:
    """Every line of every code block, and every piece of inline code."""
    for block in FENCE.findall(text):
        yield from block.splitlines()
    for line in FENCE.sub("", text).splitlines():
        yield from INLINE.findall(line)


def command_lines(text: str) -> Iterator[list[str]]:
    """The arguments of each `rollcall …`; comments, and rollcall as a file or a user, are none."""
    for code in code_of(text):
        for said in COMMAND.findall(code.partition(" # ")[0].partition("  ")[0] if "#" in code else code):
            arguments = shlex.split(said)
            if FIRST_WORDS.match(arguments[0]) and not arguments[0].startswith("rollcall"):
                yield arguments


@cache
def program() -> Any:
    return typer.main.get_command(command_line())


@cache
def commands() -> dict[tuple[str, ...], Any]:
    """Every command that does something, by its words."""
    return dict(_leaves(program(), ()))


def _leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, one in inner.items():
        yield from _leaves(one, (*words, name))


def options_of(command: Any) -> set[str]:
    """`--json`, `-y`, …; without `--help`."""
    return {name for parameter in command.params for name in parameter.opts if name.startswith("-")}
