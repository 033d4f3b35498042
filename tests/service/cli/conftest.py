"""The command line, run as its user runs it: in a folder of its own, on a database of its own."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from service import logs
from service.cli import command_line
from tests.processes import Piped, Starter

APP = command_line()
Rollcall = Callable[..., Result]
Process = Callable[..., Piped]


def _quiet(_level: str = "INFO", _form: str = "auto") -> None:
    """As the real one, but it keeps no hold of a stderr that is gone after the test."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str, no_environment: None) -> Path:
    """Where commands run; DATABASE_URL names a migrated database, nothing else is set."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "COLUMNS", "ROLLCALL_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", database_url)
    return tmp_path


@pytest.fixture
def rollcall(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rollcall]:
    """Runs a command in this process. Keywords are environment variables."""
    monkeypatch.setattr(logs, "configure", _quiet)

    def run(*arguments: str, answer: str | None = None, **environment: str) -> Result:
        return CliRunner().invoke(APP, list(arguments), input=answer, env=environment, prog_name="rollcall")

    yield run
    structlog.reset_defaults()


@pytest.fixture
def process(folder: Path, processes: Starter) -> Iterator[Process]:
    """Starts a command as a process of its own."""
    started: list[Piped] = []

    def start(*arguments: str, **environment: str) -> Piped:
        started.append(processes.piped(folder, {**os.environ, **environment}, *arguments))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.communicate()


def said(result: Result) -> Any:
    """What a command said with --json; nothing else may stand on stdout."""
    assert result.stdout, result.stderr
    return json.loads(result.stdout)
