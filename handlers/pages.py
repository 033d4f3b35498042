"""Delivery of state: make one remote page what the database says now, without ever creating it twice.

wanted   remote id   creating_since    step
none     known       -                 trash: commit that what it shows is in doubt, then send
none     -           set               find (then trash)
none     -           -                 nothing
page     -           -                 create: commit creating_since, then send
page     -           set               find (then update, or create)
page     known       hash equal        nothing
page     known       hash differs      update: commit the same doubt, then send
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from pydantic_core import to_json
from sqlalchemy import Connection

from db import outbox, sync
from db.database import Database
from db.outbox import Claim
from db.sync import Known
from handlers.registry import Delivered, Gone, Refused, Throttled

Page = Mapping[str, str | None]  # what a page shows, property by property

MOST_STEPS = 6  # find, forget, create and so on; more is a loop


class Remote(Protocol):
    """The other side, one page at a time. Every method may raise SinkDown, Throttled or Refused."""

    async def find(self, key: str) -> list[str]:
        """Ids of the pages that carry our key, the oldest first."""
        ...

    async def create(self, key: str, page: Page) -> str:
        """Returns the new page's id."""
        ...

    async def update(self, remote_id: str, key: str, page: Page) -> None:
        """Raises Gone when there is no such page any more."""
        ...

    async def trash(self, remote_id: str) -> None:
        """Raises Gone when there is no such page any more, or none that we may see."""
        ...


Render = Callable[[Connection, str], Page | None]


def digest(page: Page) -> str:
    """Equal for pages that show the same."""
    return sha256(to_json(dict(sorted(page.items())))).hexdigest()


def next_step(wanted: str | None, known: Known) -> str:
    """What to do, from the wanted page's digest (None: no page) and what the other side is known to hold."""
    if known.remote_id is None:
        if known.creating_since is not None:
            return "find"
        return "create" if wanted else "nothing"
    if wanted is None:
        return "trash"
    return "nothing" if wanted == known.hash else "update"


@dataclass(slots=True)
class PageDelivery:
    """One mark on its way. `clock` gives ms UTC. `fingerprint`: the hash of a page that shows this."""

    database: Database
    claim: Claim
    remote: Remote
    render: Render
    clock: Callable[[], int]
    fingerprint: Callable[[Page], str] = digest

    async def run(self) -> Delivered:
        page, known = await self.database.read(self._state)
        wanted = self.fingerprint(page) if page is not None else None
        done: list[str] = []
        while (step := next_step(wanted, known)) != "nothing":
            if len(done) == MOST_STEPS:
                raise Refused(f"no end after {', '.join(done)}")
            done.append(step)
            known = await self._take(step, page, wanted, known)
        return Delivered("+".join(done) or "nothing", known)

    def _state(self, tx: Connection) -> tuple[Page | None, Known]:
        claim = self.claim
        return self.render(tx, claim.key), sync.known(tx, claim.workspace_id, claim.sink, claim.key)

    async def _take(self, step: str, page: Page | None, wanted: str | None, known: Known) -> Known:
        key = self.claim.key
        if step == "find":
            return await self._find()
        if step == "create":
            assert page is not None
            await self._remember(Known(creating_since=self.clock()))
            return Known(await self.remote.create(key, page), wanted)
        assert known.remote_id is not None
        # Until the answer is here the page may show either state: a change taken back must be sent as well.
        await self._remember(Known(known.remote_id))
        try:
            if step == "trash":
                await self.remote.trash(known.remote_id)
                return Known()
            assert page is not None
            await self.remote.update(known.remote_id, key, page)
        except Gone:
            # Removed by hand, or hidden from us: forget it, and look before making another, or believing it gone.
            lost = Known(creating_since=self.clock())
            await self._remember(lost)
            return lost
        return Known(known.remote_id, wanted)

    async def _find(self) -> Known:
        found = await self.remote.find(self.claim.key)
        for surplus in found[1:]:
            with suppress(Gone):  # somebody was faster
                await self.remote.trash(surplus)
        # The oldest stays; what it shows is unknown, so the next step writes it.
        return Known(found[0]) if found else Known()

    async def _remember(self, known: Known) -> None:
        if not await self.database.write(_remember_if_held, self.claim, known, self.clock()):
            raise Throttled("the lease went to somebody else", 0)


def _remember_if_held(tx: Connection, claim: Claim, known: Known, now: int) -> bool:
    if not outbox.holds(tx, claim):
        return False
    sync.remember(tx, claim.workspace_id, claim.sink, claim.key, known, now)
    return True
