"""How a command ends: one exit code for each kind of end, and the one table from errors to these codes."""

import errno
import os
from enum import IntEnum
from typing import Any, Self

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from db.database import Unavailable, WrongDatabase
from handlers.oncall.refusal import Refusal
from handlers.registry import Refused, SinkDown, Throttled
from migrations import NotMigrated
from service.cli.console import complain
from service.settings import SettingsError

DEBUG = "ROLLCALL_DEBUG"


class Code(IntEnum):
    """What a script may rely on."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    OK = 0, "done; at most warnings"
    PROBLEM = 1, "problems found, both sides disagree, or no such thing"
    USAGE = 2, "wrong usage or wrong settings"
    DATABASE = 3, "the database is unavailable or not migrated"
    PLATFORM = 4, "Clerk, Slack or Notion could not be reached, or refused"
    FAULT = 5, f"an error in Rollcall itself; {DEBUG}=1 shows where"
    INTERRUPTED = 130, "stopped by Ctrl-C"


class Problem(Exception):
    """The command worked, its answer is no: the message says what was not found or not done."""


class Misuse(Exception):
    """The command line or the environment asks for something that cannot be; the message says what to change."""


ENDS: tuple[tuple[type[Exception], Code], ...] = (
    (Problem, Code.PROBLEM),
    (Misuse, Code.USAGE),
    (Refusal, Code.PROBLEM),
    (SettingsError, Code.USAGE),
    (WrongDatabase, Code.USAGE),
    (NotMigrated, Code.DATABASE),
    (Unavailable, Code.DATABASE),
    (SinkDown, Code.PLATFORM),
    (Throttled, Code.PLATFORM),
    (Refused, Code.PLATFORM),
)


def code_of(error: Exception) -> Code:
    return next((code for kind, code in ENDS if isinstance(error, kind)), Code.FAULT)


class Commands(TyperGroup):
    """The outermost group: whatever a command raises ends as sentences on stderr and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if any(not _is_text(word) for word in args):
            raise typer.BadParameter("what was typed is not UTF-8 text")  # a lone surrogate, which no database takes
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException):
            raise
        except Exception as error:
            if os.environ.get(DEBUG) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
                raise
            code = code_of(error)
            complain(_sentences(error, code))
            raise typer.Exit(code) from None


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _sentences(error: Exception, code: Code) -> str:
    if code is Code.FAULT:
        return f"an error in Rollcall itself: {type(error).__name__}: {error}\nSet {DEBUG}=1 to see where."
    return str(error)


def epilog() -> str:
    """The exit codes, as the foot of `rollcall --help`."""
    return "\n".join(("Exit codes", *(f"{code.value:>3}  {code.meaning}" for code in Code)))
