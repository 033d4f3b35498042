"""How the command line speaks: tables or JSON on stdout, sentences on stderr, and nothing that steers a terminal."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic_core import to_json
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]

LARGEST_ID = 2**63 - 1  # what a database can hold as a row id
UNFOLDED = 10_000  # columns: a table that goes to a file or to grep is not folded
CUT = 9  # letters: enough to tell ids apart
NOTHING = "-"
STYLES = {
    **dict.fromkeys(("failed", "dead", "banned", "refused", "unknown"), "red"),
    **dict.fromkeys(("waiting", "due", "leased", "warning", "inactive", "locked", "sink down", "throttled"), "yellow"),
    **dict.fromkeys(("ok", "applied", "settled", "active", "delivered"), "green"),
    **dict.fromkeys(("ignored", "stale", "duplicate", "off", NOTHING), "dim"),
}

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def complain(sentences: str) -> None:
    """Each line of an error, on stderr."""
    for line in sentences.splitlines() or ["unknown error"]:
        err.print(Text.assemble(("error: ", "bold red"), printable(line)), soft_wrap=True)


def note(sentence: str) -> None:
    """Something the reader may want to do next: on stderr, so that stdout stays the answer."""
    err.print(Text(printable(sentence), style="dim"), soft_wrap=True)


def say(sentence: str) -> None:
    out.print(Text(printable(sentence)), soft_wrap=True)


def print_json(value: Any) -> None:
    typer.echo(to_json(value, indent=2).decode())


def print_rows(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, fold: Iterable[str] = (), cut: Iterable[str] = ()
) -> None:
    """A table of these columns (key → heading). Where it is too narrow, columns of `fold` go on below.

    Columns of `cut` show their first letters in a terminal, and all of them elsewhere.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for key, title in columns.items():
        if key in cut and out.is_terminal:
            table.add_column(title, overflow="ellipsis", no_wrap=True, max_width=CUT)
        else:
            table.add_column(title, overflow="fold", no_wrap=key not in fold)
    for row in rows:
        table.add_row(*(cell(row.get(key)) for key in columns))
    _print(table)


def print_record(record: Mapping[str, Any]) -> None:
    """One thing, a line a field."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in record.items():
        table.add_row(key, cell(value))
    _print(table)


def heading(text: str) -> None:
    out.print()
    out.print(Text(printable(text), style="bold underline"))


def _print(table: Table) -> None:
    if not out.is_terminal:
        out.width = UNFOLDED
    out.print(table)


def cell(value: Any) -> Text:
    if isinstance(value, Text):
        return value
    text = _plain(value)
    return Text(text, style=STYLES.get(text, ""))


def _plain(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return printable(", ".join(map(str, value)))
    if isinstance(value, list | dict):
        return printable(to_json(value).decode())
    return printable(str(value))


def printable(text: str) -> str:
    """The text without what a stranger could steer a terminal with: escapes, and marks that reorder letters."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else " " if unicodedata.category(char) == "Zs" else "\ufffd"
        for char in text
    )


def is_time(key: str) -> bool:
    """Our columns that hold ms since the epoch are named so."""
    return key.endswith("_at") or key in ("at", "creating_since")


def legible(row: Mapping[str, Any], *, short: bool = False) -> dict[str, Any]:
    """A row with its times as ISO 8601, UTC; `short` leaves the milliseconds out."""
    return {
        key: moment(value, short=short) if is_time(key) and isinstance(value, int) else value
        for key, value in row.items()
    }


def moment(ms: int, *, short: bool = False) -> str:
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return at.isoformat(timespec="seconds" if short else "milliseconds").replace("+00:00", "Z")
