"""Logs: one line an event and one an attempt; JSON unless somebody is watching in a terminal."""

import contextlib
import logging
import sys
from typing import Any, TextIO, cast

import structlog
from pydantic_core import to_json


def configure(level: str = "INFO", form: str = "auto") -> None:
    """Set up structlog for the process. `form`: auto, json or console."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Any = structlog.dev.ConsoleRenderer() if console else _json
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, last] if not console else [*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Stderr(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of each error it has told us already


class _Stderr:
    """Drops what cannot be written (a full disk, a closed pipe): nothing may fail for its log line."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()


class _Libraries(logging.Handler):
    """What libraries say through the standard library, as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage().splitlines()
        first = said[0] if said else ""
        level = min(record.levelno // 10 * 10, logging.CRITICAL)  # structlog knows the named levels only
        structlog.get_logger().log(level, "library", logger=record.name, text=first, exc_info=record.exc_info)


def _json(_logger: Any, _method: str, event: Any) -> str:
    return to_json(event, fallback=str).decode()
