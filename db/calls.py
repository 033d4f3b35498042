"""A `write` on its way to a writer thread and back: what to run, who waits for it, and whose fault a failure is."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from db.errors import FAULTS, Unavailable


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
    bug = RuntimeError(f"a function on the writer thread raised {type(error).__name__}")
    bug.__cause__ = error  # itself, it would end the event loop, or no future would take it
    return bug


def expire(call: Call, deadline_s: float) -> None:
    if not call.future.done():
        call.future.set_exception(Unavailable(f"no commit within {deadline_s:g} s"))
