"""What all imports share: many statements recorded a few at a time, so that webhooks are served in between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy import Connection

from db import locks
from db.database import Database
from db.identities import Identity
from handlers.bodies import complaint, json_object
from handlers.people.recording import Recorded, record
from handlers.registry import Context, Malformed

BATCH = 50  # people a transaction


@dataclass(slots=True)
class Tally:
    """What an import did. `stale`: we know something newer already; `skipped`: nobody Rollcall keeps."""

    listed: int = 0
    recorded: int = 0
    stale: int = 0
    deleted: int = 0
    skipped: int = 0
    resumed: bool = False


def record_all(tx: Connection, said: Sequence[Identity], context: Context, now: int) -> int:
    """How many of these statements were news."""
    locks.hold_everybody(tx)
    return sum(record(tx, one, context, now) is not Recorded.STALE for one in said)


@dataclass(slots=True)
class Import:
    """One run of an import. `progress` is told the tally after each page."""

    database: Database
    context: Context
    clock: Callable[[], int]
    progress: Callable[[Tally], None] = lambda _tally: None
    record_all: Callable[[Connection, Sequence[Identity], Context, int], int] = record_all

    async def record(self, said: Sequence[Identity], tally: Tally) -> None:
        """Record statements, BATCH a transaction, and count what was news."""
        for start in range(0, len(said), BATCH):
            some = said[start : start + BATCH]
            news = await self.database.write(self.record_all, some, self.context, self.clock())
            tally.recorded += news
            tally.stale += len(some) - news
        self.progress(tally)


def body_of(listed: Mapping[str, Any]) -> bytes:
    """Somebody from a list as the body of an event would carry them. Malformed where none could."""
    try:
        body = to_json(listed)
    except PydanticSerializationError:
        raise Malformed("a string that is not Unicode") from None
    json_object(body)
    return body


def why(error: ValidationError | Malformed) -> str:
    """What cannot be read, without repeating it."""
    return str(complaint(error) if isinstance(error, ValidationError) else error)
