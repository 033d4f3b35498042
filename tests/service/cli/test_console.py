"""What strangers wrote is shown as text, never obeyed by a terminal."""

import pytest

from service.cli.console import cell, legible, printable


@pytest.mark.parametrize("dangerous", ["\x1b[2J", "\x07", "\x9b31m", "a\u202eb", "\r", "\x00"])
def test_what_steers_a_terminal_is_replaced(dangerous: str) -> None:
    assert "\ufffd" in printable(dangerous)
    assert not set(printable(dangerous)) & {"\x1b", "\x07", "\x9b", "\u202e", "\r", "\x00"}


def test_letters_of_any_script_stay() -> None:
    text = "Zoë 雨桐 Олена\u00a0Їжак 🎉"  # noqa: RUF001 - that is the point
    assert printable(text) == text.replace("\u00a0", " ")


def test_markup_is_text() -> None:
    assert cell("[bold red]Ada[/]").plain == "[bold red]Ada[/]"


def test_times_are_iso_and_other_numbers_are_not() -> None:
    row = {"received_at": 1_790_000_000_123, "attempts": 3, "deleted_at": None}
    assert legible(row) == {"received_at": "2026-09-21T14:13:20.123Z", "attempts": 3, "deleted_at": None}
    assert legible(row, short=True)["received_at"] == "2026-09-21T14:13:20Z"
