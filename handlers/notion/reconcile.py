"""`rollcall notion reconcile`: everything is compared, record by record; what drifted is marked, and so repaired.

Nothing is written to Notion here: a repair is a mark like any other, under the one lease of its key.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Connection

from db import outbox, people, sync
from db.database import Database
from db.sync import Known
from handlers.notion.api import Forbidden, NotionApi
from handlers.notion.directory import KEY, from_properties, render_many
from handlers.notion.users import refresh
from handlers.pages import Page, digest
from handlers.patience import patiently
from handlers.people.linking import NOTION
from handlers.people.recording import person_key
from handlers.registry import Context

log = structlog.get_logger()

OUR_KEY = re.compile(r"person:[1-9][0-9]{0,17}")
MISSING, DIFFERENT, ORPHAN, DUPLICATE, UNKNOWN = "missing", "different", "orphan", "duplicate", "not ours"
REPAIRED = (MISSING, DIFFERENT, ORPHAN, DUPLICATE)


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
    """What was compared, and where the two disagree."""

    people: int
    pages: int
    drifts: list[Drift] = field(default_factory=list)
    unsettled: int = 0  # keys on their way while we looked: neither agreement nor drift

    @property
    def disagreements(self) -> list[Drift]:
        return [drift for drift in self.drifts if drift.kind in REPAIRED]

    @property
    def agreement(self) -> float:
        """Share of people whose one page shows what it should."""
        wrong = {drift.key for drift in self.disagreements if drift.kind in (MISSING, DIFFERENT, DUPLICATE)}
        return 1.0 - len(wrong) / self.people if self.people else 1.0


@dataclass(frozen=True, slots=True)
class _Ours:
    """The database's side, at one moment."""

    wanted: dict[str, Page]
    known: dict[str, Known]
    generations: dict[str, int]
    pending: set[str]


def diff(wanted: Mapping[str, Page], found: Iterable[Found], known: Mapping[str, Known]) -> list[Drift]:
    """Pure. Of several pages with one key the one we know stays, else the oldest (`found` comes oldest first)."""
    ours = {state.remote_id: key for key, state in known.items() if OUR_KEY.fullmatch(key)}
    drifts: list[Drift] = []
    kept: dict[str, Found] = {}
    for one in found:
        key = ours.get(one.page_id, one.key)  # a page we know is that person's, whatever somebody wrote into it
        if key is None or not OUR_KEY.fullmatch(key):
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


async def compare(database: Database, api: NotionApi, data_source_id: str, context: Context) -> Comparison:
    """Compare everything; nothing is changed. Keys that moved meanwhile are left out."""
    return (await _look(database, api, data_source_id, context))[0]


async def reconcile(
    database: Database, api: NotionApi, data_source_id: str, context: Context, clock: Callable[[], int]
) -> Comparison:
    """Refresh the user list, compare, and mark what drifted; delivering the marks is the relay's."""
    try:
        await patiently(lambda: refresh(database, api, context, clock))
    except Forbidden as error:
        log.warning("notion_users_unreadable", reason=str(error), fix="allow it to read user information")
    comparison, ours, found = await _look(database, api, data_source_id, context)
    await database.write(_adopt, ours, found, context, clock())
    if comparison.disagreements:
        await database.write(_mark_repairs, comparison.disagreements, ours, context, clock())
    return comparison


async def _look(
    database: Database, api: NotionApi, data_source_id: str, context: Context
) -> tuple[Comparison, _Ours, list[Found]]:
    before = await database.read(_ours, context)
    pages = await patiently(lambda: api.pages(data_source_id))
    found = [Found(page["id"], *from_properties(page["properties"])) for page in pages]
    ours = await database.read(_ours, context)
    moving = before.pending | ours.pending | _moved(before, ours)
    drifts = [drift for drift in diff(ours.wanted, found, ours.known) if drift.key not in moving]
    return Comparison(len(ours.wanted), len(found), drifts, len(moving)), ours, found


def _moved(before: _Ours, after: _Ours) -> set[str]:
    keys = before.wanted.keys() | after.wanted.keys() | before.generations.keys() | after.generations.keys()
    moved = (key for key in keys if before.generations.get(key) != after.generations.get(key))
    return {key for key in moved if OUR_KEY.fullmatch(key)}


def _ours(tx: Connection, context: Context) -> _Ours:
    keys = [person_key(user_id) for user_id in people.ids(tx)]
    return _Ours(
        wanted=render_many(tx, keys),
        known=sync.all_known(tx, context.workspace_id, NOTION),
        generations=outbox.generations(tx, context.workspace_id, NOTION),
        pending={key for key in outbox.pending(tx, context.workspace_id, NOTION) if OUR_KEY.fullmatch(key)},
    )


def _adopt(tx: Connection, ours: _Ours, found: list[Found], context: Context, now: int) -> None:
    """Pages that show what they should, but of which the database does not know: after a restore."""
    still = outbox.held_generations(tx, context.workspace_id, NOTION)
    taken = {known.remote_id for known in ours.known.values()}
    for one in reversed(found):  # so that of duplicates the oldest is known in the end
        wanted = ours.wanted.get(one.key or "")
        if one.key is None or wanted is None or still.get(one.key) != ours.generations.get(one.key):
            continue
        if one.key in ours.pending or one.page_id in taken or ours.known.get(one.key, Known()).remote_id is not None:
            continue
        shown = digest(one.page)
        sync.remember(tx, context.workspace_id, NOTION, one.key, Known(one.page_id, shown), now)


def _mark_repairs(tx: Connection, drifts: list[Drift], ours: _Ours, context: Context, now: int) -> None:
    still = outbox.held_generations(tx, context.workspace_id, NOTION)
    keys = []
    for drift in drifts:
        assert drift.key is not None
        if still.get(drift.key) != ours.generations.get(drift.key):
            continue  # it moved since we looked, and its own mark will see to it
        # A surplus page gets a key of its own that no person renders: it is trashed under that lease.
        key = f"page:{drift.page_id}" if drift.kind == DUPLICATE else drift.key
        if state := _state_for(drift, ours.known.get(drift.key, Known()), now):
            sync.remember(tx, context.workspace_id, NOTION, key, state, now)
        keys.append(key)
    outbox.mark_many(tx, context.workspace_id, NOTION, keys, now)


def _state_for(drift: Drift, known: Known, now: int) -> Known | None:
    """What the other side is known to hold now: the page we saw, its content not what it should be."""
    if drift.kind == MISSING:
        # Where we thought there was a page, look again before making one.
        return Known(creating_since=now) if known.remote_id else None
    return Known(drift.page_id)
