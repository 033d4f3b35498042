"""One line an event; JSON unless somebody is watching."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service import logs

Said = list[dict[str, Any]]


def said(capsys: pytest.CaptureFixture[str]) -> Said:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def watched(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """What `configure` does to the standard library's logging is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


def test_an_event_is_one_line_of_json_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    structlog.get_logger().info("webhook", source="clerk", ms=1.25, ids=["a", None], note="two\nlines ✓")
    (line,) = said(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "webhook",
        "level": "info",
        "source": "clerk",
        "ms": 1.25,
        "ids": ["a", None],
        "note": "two\nlines ✓",
    }


def test_an_exception_is_in_that_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    structlog.get_logger().error("internal_error", exc_info=ValueError("of several\nlines"))
    (line,) = said(capsys)
    assert "ValueError: of several\nlines" in line["exception"]


def test_what_is_no_json_is_told_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    structlog.get_logger().info("odd", value=object, error=ValueError("x"), set=frozenset({1}))
    (line,) = said(capsys)
    assert "object" in line["value"]
    assert "x" in line["error"]


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("INFO", ["info", "warning", "error"]),
        ("WARNING", ["warning", "error"]),
        ("ERROR", ["error"]),
    ],
)
def test_only_the_level_asked_for_and_above_is_said(
    capsys: pytest.CaptureFixture[str], level: str, heard: list[str]
) -> None:
    logs.configure(level)
    log = structlog.get_logger()
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("event")
    assert [line["level"] for line in said(capsys)] == heard


@pytest.mark.parametrize(
    ("form", "terminal", "as_json"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("json", True, True),
        ("json", False, True),
        ("console", True, False),
        ("console", False, False),
    ],
)
def test_json_unless_in_a_terminal_or_as_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str, terminal: bool, as_json: bool
) -> None:
    watched(monkeypatch, terminal=terminal)
    logs.configure(form=form)
    structlog.get_logger().info("event", source="clerk")
    line = capsys.readouterr().err.strip()
    assert "clerk" in line
    assert line.startswith("{") == as_json


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR, logging.CRITICAL])
def test_what_a_library_warns_of_is_a_line_like_ours(capsys: pytest.CaptureFixture[str], level: int) -> None:
    logs.configure()
    logging.getLogger("some.library").log(level, "%s is\nodd", "this")
    logging.getLogger("some.library").info("chatter")
    (line,) = said(capsys)
    assert (line["event"], line["logger"], line["text"]) == ("library", "some.library", "this is")


@pytest.mark.parametrize("error", [OSError(27, "File too large"), BrokenPipeError()])
def test_a_line_that_cannot_be_written_is_dropped_and_nothing_fails_for_it(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def refuse(*_: str) -> None:
        raise error

    monkeypatch.setattr("sys.stderr.write", refuse)
    monkeypatch.setattr("sys.stderr.flush", refuse)
    logs.configure()
    structlog.get_logger().info("webhook")
    logging.getLogger("uvicorn.error").error("said by a library")
