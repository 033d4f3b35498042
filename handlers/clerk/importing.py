"""`rollcall import clerk`: the people who existed before the service did (S1.6), and those deleted unheard.

Users are read in the order of their creation, from a moment on: unlike an offset, that moves nobody when
somebody is deleted meanwhile, and a run that was cut off goes on from the moment the last one reached.
"""

from dataclasses import dataclass, field

import structlog
from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy import Connection

from db import identities, sync
from db.identities import Identity
from db.sync import Known
from handlers.clerk.api import FILTER_SIZE, PAGE_SIZE, ClerkApi, Json
from handlers.clerk.events import gone, identity_of
from handlers.clerk.payloads import User
from handlers.patience import patiently
from handlers.people.importing import Import, Tally, record_all
from handlers.people.linking import CLERK
from handlers.registry import Context

log = structlog.get_logger()

PROGRESS = ("import", CLERK)  # the sync_status row in which a run keeps how far it came


@dataclass(slots=True)
class ClerkImport(Import):
    """One run, beside live events and safe to repeat."""

    api: ClerkApi = field(kw_only=True)

    async def run(self) -> Tally:
        """Read everybody, then delete those Clerk, asked by name, does not have. Raises what the API raises."""
        tally = Tally()
        before = [known for known in await self.database.read(identities.of_provider, CLERK) if known.live]
        seen = await self._read_all(tally)
        await self._delete_gone([known.external_id for known in before if known.external_id not in seen], tally)
        await self.database.write(_keep_progress, self.context, None, self.clock())
        return tally

    async def _read_all(self, tally: Tally) -> set[str]:
        seen: set[str] = set()
        since = await self.database.read(_progress, self.context) or 0
        tally.resumed = since > 0
        offset = 0
        while True:
            page = await patiently(lambda: self.api.created_from(since, offset))  # noqa: B023 - awaited at once
            new = [user for user in page if user.get("id") not in seen]
            await self._record(new, tally)
            seen.update(str(user.get("id")) for user in new)
            if len(page) < PAGE_SIZE:
                return seen
            last = int(page[-1]["created_at"])
            # A page of people created in one and the same ms: only there an offset is needed.
            offset = offset + len(page) if last == since else 0
            since = last
            await self.database.write(_keep_progress, self.context, since, self.clock())

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
        return identity_of(User.model_validate(user), sent_at=0, body=to_json(user))
    except ValidationError as error:
        fields = [".".join(map(str, one["loc"])) for one in error.errors(include_input=False)]
        log.warning("clerk_user_skipped", clerk_id=str(user.get("id")), wrong=fields)
        return None


def _progress(tx: Connection, context: Context) -> int | None:
    reached = sync.known(tx, context.workspace_id, *PROGRESS).remote_id
    return int(reached) if reached else None


def _keep_progress(tx: Connection, context: Context, since: int | None, now: int) -> None:
    state = Known(remote_id=str(since)) if since else Known()
    sync.remember(tx, context.workspace_id, *PROGRESS, state, now)
