"""`rollcall import clerk`: the people who existed before the service did (S1.6), and those deleted unheard.

Users are read in the order of their creation, from a moment on: unlike an offset, that moves nobody when
somebody is deleted meanwhile, and a run that was cut off goes on from the moment the last one reached.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from db import identities, locks, sync
from db.identities import Identity
from db.sync import Known
from handlers.clerk.api import FILTER_SIZE, PAGE_SIZE, ClerkApi, Json
from handlers.clerk.events import gone, identity_of, source
from handlers.clerk.payloads import User
from handlers.patience import patiently
from handlers.people.importing import Import, Tally, body_of, why
from handlers.people.linking import CLERK
from handlers.people.recording import Recorded, record
from handlers.registry import Context, Malformed, Refused
from handlers.waiting import release

log = structlog.get_logger()

EVENTS = source(())  # without a secret it hears nobody; it only reads what is held already
# The sync_status row in which a run keeps how far it came (remote_id) and when it began (creating_since).
PROGRESS = ("import", CLERK)
RESUMED_WITHIN_MS = 3_600_000  # later, too much may have changed in what the earlier run read
STRANGERS = 10  # this many people, and Clerk knows none of them: it is not the Clerk they are from


def record_all(tx: Connection, said: Sequence[Identity], context: Context, now: int) -> int:
    """How many of these statements were news; with each, the sessions that waited for their person are counted."""
    locks.hold_everybody(tx)
    news = 0
    for one in said:
        if record(tx, one, context, now) is not Recorded.STALE:
            news += 1
            release(tx, EVENTS, one.external_id, context, now)
    return news


@dataclass(slots=True)
class ClerkImport(Import):
    """One run, beside live events and safe to repeat."""

    api: ClerkApi = field(kw_only=True)
    record_all: Callable[[Connection, Sequence[Identity], Context, int], int] = record_all

    async def run(self) -> Tally:
        """Read everybody, then delete those Clerk, asked by name, does not have. Raises what the API raises."""
        tally = Tally()
        before = [known.external_id for known in await self.database.read(identities.of_provider, CLERK) if known.live]
        await self._must_be_theirs(before[:FILTER_SIZE])
        seen = await self._read_all(tally)
        await self._delete_gone([clerk_id for clerk_id in before if clerk_id not in seen], tally)
        await self.database.write(_keep_progress, self.context, None, 0)
        return tally

    async def _must_be_theirs(self, some: list[str]) -> None:
        """With the key of another instance nobody would be found, and everybody deleted for good."""
        if len(some) >= STRANGERS and not await patiently(lambda: self.api.existing(some)):
            raise Refused(
                f"Clerk has none of {len(some)} people looked up: CLERK_SECRET_KEY seems to be of another instance "
                "than the one they came from. Nothing was changed"
            )

    async def _read_all(self, tally: Tally) -> set[str]:
        seen: set[str] = set()
        since = await self.database.read(_progress, self.context, self.clock())
        began = self.clock()
        tally.resumed = since > 0
        offset = 0
        while True:
            page = await patiently(lambda: self.api.created_from(since, offset))  # noqa: B023 - awaited at once
            new = [user for user in page if str(user.get("id")) not in seen]
            await self._record(new, tally)
            seen.update(str(user.get("id")) for user in new)
            if len(page) < PAGE_SIZE:
                return seen
            last = _latest(page, since)
            # A page of people created in one and the same ms: only there an offset is needed.
            offset = offset + len(page) if last == since else 0
            since = last
            await self.database.write(_keep_progress, self.context, since, began)

    async def _record(self, users: list[Json], tally: Tally) -> None:
        tally.listed += len(users)
        said = [one for user in users if (one := _identity(user))]
        tally.skipped += len(users) - len(said)
        await self.record(said, tally)

    async def _delete_gone(self, missing: list[str], tally: Tally) -> None:
        """Only who is missing from a complete listing, and then only if Clerk, asked for them, has them not."""
        for start in range(0, len(missing), FILTER_SIZE):
            some = missing[start : start + FILTER_SIZE]
            there = await patiently(lambda: self.api.existing(some))  # noqa: B023 - awaited at once
            deleted = [gone(clerk_id, self.clock()) for clerk_id in some if clerk_id not in there]
            tally.deleted += await self.database.write(record_all, deleted, self.context, self.clock())


def _identity(user: Json) -> Identity | None:
    try:
        return identity_of(User.model_validate(user), sent_at=0, body=body_of(user))
    except (ValidationError, Malformed) as error:
        log.warning("clerk_user_skipped", clerk_id=str(user.get("id")), wrong=why(error))
        return None


def _latest(page: list[Json], since: int) -> int:
    """When the last of them was created, ms; who cannot be read may not say."""
    return max((at for user in page if isinstance(at := user.get("created_at"), int)), default=since)


def _progress(tx: Connection, context: Context, now: int) -> int:
    """Where a run that was cut off lately goes on; 0: at the beginning."""
    reached = sync.known(tx, context.workspace_id, *PROGRESS)
    began = reached.creating_since or 0
    return int(reached.remote_id) if reached.remote_id and now - began < RESUMED_WITHIN_MS else 0


def _keep_progress(tx: Connection, context: Context, since: int | None, began: int) -> None:
    state = Known(remote_id=str(since), creating_since=began) if since else Known()
    sync.remember(tx, context.workspace_id, *PROGRESS, state, began)
