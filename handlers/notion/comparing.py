"""Comparing Notion with the database, page by page, for any kind of page; what drifted is marked, and so repaired.

Nothing is written to Notion here: a repair is a mark like any other, under the one lease of its key.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection

from db import outbox, sync
from db.database import Database
from db.sync import Known
from handlers.notion.table import KEY
from handlers.pages import Page
from handlers.people.linking import NOTION
from handlers.registry import Context

MISSING, DIFFERENT, ORPHAN, DUPLICATE, UNKNOWN = "missing", "different", "orphan", "duplicate", "not ours"
REPAIRED = (MISSING, DIFFERENT, ORPHAN, DUPLICATE)
SURPLUS = "page:"  # begins the key of a surplus page: no record renders it, so it is trashed under that lease


@dataclass(frozen=True, slots=True)
class Found:
    """One page as Notion has it."""

    page_id: str
    key: str | None
    page: Page


@dataclass(frozen=True, slots=True)
class Drift:
    """One disagreement. `properties`: which of them differ, as (name, wanted, found)."""

    kind: str
    key: str | None
    page_id: str | None = None
    properties: tuple[tuple[str, str | None, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and where the two disagree. `records`: people, or shifts."""

    records: int
    pages: int
    drifts: list[Drift] = field(default_factory=list)
    unsettled: int = 0  # keys on their way while we looked: neither agreement nor drift

    @property
    def disagreements(self) -> list[Drift]:
        return [drift for drift in self.drifts if drift.kind in REPAIRED]

    @property
    def agreement(self) -> float:
        """Share of records whose one page shows what it should."""
        wrong = {drift.key for drift in self.disagreements if drift.kind in (MISSING, DIFFERENT, DUPLICATE)}
        return 1.0 - len(wrong) / self.records if self.records else 1.0


@dataclass(frozen=True, slots=True)
class Listing:
    """What Notion has, the oldest first; `note`: what a kind wants to know about it afterwards."""

    found: list[Found]
    note: Any = None


@dataclass(frozen=True, slots=True)
class Ours:
    """The database's side, at one moment."""

    wanted: dict[str, Page]
    known: dict[str, Known]
    generations: dict[str, int]
    pending: set[str]


class Kind(Protocol):
    """One kind of pages that is compared."""

    def owns(self, key: str) -> bool:
        """Whether a mark or a page of this key is one of this kind."""
        ...

    async def listing(self) -> Listing: ...

    def wanted(self, tx: Connection, listing: Listing) -> dict[str, Page]: ...

    def fingerprint(self, page: Page) -> str: ...

    def judged(self, drifts: list[Drift], listing: Listing, ours: Ours) -> list[Drift]:
        """The drifts as this kind sees them: some may be only reported, by another name than those of `REPAIRED`."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """A comparison, and all it rests on."""

    comparison: Comparison
    ours: Ours
    found: list[Found]


def diff(
    wanted: Mapping[str, Page], found: Iterable[Found], known: Mapping[str, Known], owns: Callable[[str], object]
) -> list[Drift]:
    """Pure. Of several pages with one key the one we know stays, else the first (`found` comes oldest first)."""
    ours = {state.remote_id: key for key, state in known.items() if owns(key)}
    drifts: list[Drift] = []
    kept: dict[str, Found] = {}
    for one in found:
        key = ours.get(one.page_id, one.key)  # a page we know is that record's, whatever somebody wrote into it
        if key is None or not owns(key):
            drifts.append(Drift(UNKNOWN, None, one.page_id))
        elif key not in kept:
            kept[key] = one
        else:
            loser = kept[key] if one.page_id in ours else one
            kept[key] = one if loser is kept[key] else kept[key]
            drifts.append(Drift(DUPLICATE, key, loser.page_id))
    drifts.extend(Drift(ORPHAN, key, one.page_id) for key, one in kept.items() if key not in wanted)
    drifts.extend(Drift(MISSING, key) for key in wanted if key not in kept)
    for key, page in wanted.items():
        if key in kept and (properties := _differences({**page, KEY: key}, kept[key])):
            drifts.append(Drift(DIFFERENT, key, kept[key].page_id, properties))
    return drifts


def _differences(wanted: Page, found: Found) -> tuple[tuple[str, str | None, str | None], ...]:
    shown = {**found.page, KEY: found.key}
    return tuple((name, value, shown.get(name)) for name, value in wanted.items() if shown.get(name) != value)


async def look(database: Database, kind: Kind, context: Context) -> Look:
    """Compare everything; nothing is changed. Keys that moved meanwhile are left out."""
    before = await database.read(_moving, kind, context)
    listing = await kind.listing()
    ours = await database.read(_ours, kind, listing, context)
    moving = before[1] | ours.pending | _moved(before[0], ours.generations, kind)
    drifts = kind.judged(diff(ours.wanted, listing.found, ours.known, kind.owns), listing, ours)
    left = [drift for drift in drifts if drift.key not in moving]
    return Look(Comparison(len(ours.wanted), len(listing.found), left, len(moving)), ours, listing.found)


def _moved(before: Mapping[str, int], after: Mapping[str, int], kind: Kind) -> set[str]:
    moved = (key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return {key for key in moved if kind.owns(key)}


def _moving(tx: Connection, kind: Kind, context: Context) -> tuple[dict[str, int], set[str]]:
    pending = outbox.pending(tx, context.workspace_id, NOTION)
    return outbox.generations(tx, context.workspace_id, NOTION), {key for key in pending if kind.owns(key)}


def _ours(tx: Connection, kind: Kind, listing: Listing, context: Context) -> Ours:
    generations, pending = _moving(tx, kind, context)
    known = sync.all_known(tx, context.workspace_id, NOTION)
    return Ours(kind.wanted(tx, listing), known, generations, pending)


def repair(tx: Connection, looked: Look, kind: Kind, drifts: list[Drift], context: Context, now: int) -> int:
    """Adopt pages that are right and unknown, and mark these drifts; returns how many marks. No request is made."""
    still = outbox.held_generations(tx, context.workspace_id, NOTION)
    _adopt(tx, looked, kind, still, context, now)
    ours, keys = looked.ours, []
    for drift in drifts:
        assert drift.key is not None
        if still.get(drift.key) != ours.generations.get(drift.key):
            continue  # it moved since we looked, and its own mark will see to it
        key = f"{SURPLUS}{drift.page_id}" if drift.kind == DUPLICATE else drift.key
        if state := _state_for(drift, ours.known.get(drift.key, Known()), now):
            sync.remember(tx, context.workspace_id, NOTION, key, state, now)
        keys.append(key)
    return outbox.mark_many(tx, context.workspace_id, NOTION, keys, now)


def _adopt(tx: Connection, looked: Look, kind: Kind, still: Mapping[str, int], context: Context, now: int) -> None:
    """Pages of ours of which the database does not know: after a restore."""
    ours = looked.ours
    taken = {known.remote_id for known in ours.known.values()}
    for one in reversed(looked.found):  # so that of duplicates the first is known in the end
        if one.key is None or one.key not in ours.wanted or still.get(one.key) != ours.generations.get(one.key):
            continue
        if one.key in ours.pending or one.page_id in taken or ours.known.get(one.key, Known()).remote_id is not None:
            continue
        known = Known(one.page_id, kind.fingerprint(one.page))
        sync.remember(tx, context.workspace_id, NOTION, one.key, known, now)


def _state_for(drift: Drift, known: Known, now: int) -> Known | None:
    """What the other side is known to hold now: the page we saw, its content not what it should be."""
    if drift.page_id is not None:
        return Known(drift.page_id)
    # Where we thought there was a page, look again before making one.
    return Known(creating_since=now) if known.remote_id else None
