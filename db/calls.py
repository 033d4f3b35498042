"""A `write` on its way to a writer and back: what to run, who waits for it, and whose fault a failure is."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection

from db.errors import FAULTS, Unavailable

P = ParamSpec("P")
R = TypeVar("R")

SHORT: set[Callable[..., Any]] = set()
SIDE_BY_SIDE: set[Callable[..., Any]] = set()


def short(fn: Callable[P, R]) -> Callable[P, R]:
    """Calls of this function may run on the event loop (SQLite): however much is stored, they are over in a few
    milliseconds, and they wait for nothing.
    """
    SHORT.add(fn)
    return fn


def side_by_side(fn: Callable[P, R]) -> Callable[P, R]:
    """Calls of this function may run interleaved in one transaction (PostgreSQL): it decides only about what it holds
    with db/locks.py, and leans on no row lock.
    """
    SIDE_BY_SIDE.add(fn)
    return fn


@dataclass(slots=True, eq=False)
class Call:
    """One `write` on its way: what to run, and the future that waits for it."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None
    decided: bool = False  # committed, or failed for good: whatever goes wrong later does not change it
    alone: bool = False  # in company it came to nothing, and nobody knows yet through whom

    @property
    def abreast(self) -> bool:
        """Whether it may run side by side with others of its kind in one transaction."""
        return self.fn in SIDE_BY_SIDE

    @property
    def short(self) -> bool:
        """Whether it may run on the event loop."""
        return self.fn in SHORT

    @property
    def abandoned(self) -> bool:
        return self.future.done()

    def run(self, tx: Connection) -> None:
        self.error = None
        self.result = self.fn(tx, *self.args, **self.kwargs)

    def deliver(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


def deliver(batch: Iterable[Call]) -> None:
    """In the event loop: tell everybody."""
    for call in batch:
        call.deliver()


def translate(error: BaseException) -> Exception:
    """A failing database is the database's fault; a broken constraint is the function's."""
    if isinstance(error, FAULTS):
        return Unavailable.because(error)
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    bug = RuntimeError(f"a function of a transaction raised {type(error).__name__}")
    bug.__cause__ = error  # itself, it would end the event loop, or no future would take it
    return bug


def expire(call: Call, deadline_s: float) -> None:
    if not call.future.done():
        call.future.set_exception(Unavailable(f"no commit within {deadline_s:g} s"))
