"""What `rollcall notion reconcile` does and says: compare, mark, deliver, compare again, and a table of the drift."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import typer

from db import limits
from db.database import Database
from handlers.notion import calendar_cycle, reconcile
from handlers.notion.api import NotionApi
from handlers.notion.calendar import Calendars
from handlers.notion.calendar_cycle import OLD_PAST, OUTSIDE, ShiftPages
from handlers.notion.comparing import REPAIRED, UNKNOWN, Comparison, Drift
from handlers.patience import patiently
from handlers.registry import Context
from service import platforms
from service.cli.console import note, print_json, print_rows, say
from service.cli.exits import Code
from service.clock import now_ms
from service.context import context_of
from service.relay import SinkLoop
from service.settings import Settings

SHOWN = 20  # drifting records in the table; --json has them all
PEOPLE, SHIFTS = "people", "shifts"
KINDS = {PEOPLE: (*REPAIRED, UNKNOWN), SHIFTS: (*REPAIRED, UNKNOWN, OLD_PAST, OUTSIDE)}


@dataclass(frozen=True, slots=True)
class Result:
    """By people and shifts, as far as they are set up: what was found, and how it is now."""

    found: dict[str, Comparison]
    after: dict[str, Comparison]

    @property
    def agrees(self) -> bool:
        return not any(one.disagreements for one in self.after.values())


async def run(settings: Settings, database: Database, api: NotionApi, *, dry_run: bool, past: bool) -> Result:
    """Notion has just answered when repairs are delivered: a pause that a failure left behind ends here."""
    context = context_of(settings)
    if dry_run:
        found = await _compare(settings, database, api, context)
        return Result(found, found)
    found, marked = await _mark(settings, database, api, context, past=past)
    if not marked and not any(one.disagreements or one.unsettled for one in found.values()):
        return Result(found, found)
    await database.write(limits.resume, "notion")
    await SinkLoop(database, platforms.notion_sink(api, settings, context), context).drain()
    return Result(found, await _compare(settings, database, api, context))


async def _mark(
    settings: Settings, database: Database, api: NotionApi, context: Context, *, past: bool
) -> tuple[dict[str, Comparison], int]:
    found, marked = {}, 0
    if settings.notion_people_data_source_id:
        found[PEOPLE] = await reconcile.reconcile(database, api, settings.notion_people_data_source_id, context, now_ms)
    else:
        await reconcile.read_users(database, api, context, now_ms)
    if settings.calendar:
        kind = await _shifts(settings.calendar, database, api, context)
        found[SHIFTS], marked = await calendar_cycle.cycle(database, kind, now_ms, past=past)
    return found, marked


async def _compare(settings: Settings, database: Database, api: NotionApi, context: Context) -> dict[str, Comparison]:
    found = {}
    if settings.notion_people_data_source_id:
        found[PEOPLE] = await reconcile.compare(database, api, settings.notion_people_data_source_id, context)
    if settings.calendar:
        looked = await calendar_cycle.look(database, await _shifts(settings.calendar, database, api, context))
        found[SHIFTS] = looked.comparison
    return found


async def _shifts(ids: tuple[str, str], database: Database, api: NotionApi, context: Context) -> ShiftPages:
    return await calendar_cycle.shift_pages(
        database, api, Calendars(*ids), context, now_ms(), whole=True, ask=patiently
    )


def show(result: Result, as_json: bool) -> None:
    """Ends with 1 where the two sides still differ."""
    if as_json:
        shown = {name: _as_json(name, found, result.after[name]) for name, found in result.found.items()}
        print_json(shown.get(PEOPLE, {}) | ({"calendar": shown[SHIFTS]} if SHIFTS in shown else {}))
    else:
        for name, found in result.found.items():
            _print(name, found, result.after[name])
    if not result.agrees:
        raise typer.Exit(Code.PROBLEM)


def _as_json(name: str, found: Comparison, after: Comparison) -> dict[str, Any]:
    return {
        name: after.records,
        "pages": after.pages,
        "agreement": after.agreement,
        "found": Counter(drift.kind for drift in found.drifts),
        "left": Counter(drift.kind for drift in after.drifts),
        "unsettled": after.unsettled,
        "drifts": [_row(drift) for drift in found.drifts],
    }


def _print(name: str, found: Comparison, after: Comparison) -> None:
    counts = Counter(drift.kind for drift in found.drifts)
    left = Counter(drift.kind for drift in after.drifts)
    print_rows(
        [{"kind": kind, "found": counts[kind], "left": left[kind]} for kind in KINDS[name]],
        {"kind": "drift", "found": "found", "left": "left"},
    )
    if found.drifts:
        rows = [_row(drift) for drift in found.drifts[:SHOWN]]
        print_rows(rows, {"kind": "drift", "key": "key", "page": "page", "differs": "differs"}, fold=("differs",))
    if after.unsettled:
        note(f"{after.unsettled} keys were on their way while we looked: run it again in a moment")
    say(f"{after.records} {name}, {after.pages} pages, agreement {after.agreement:.1%}")


def _row(drift: Drift) -> dict[str, Any]:
    return {
        "kind": drift.kind,
        "key": drift.key,
        "page": drift.page_id,
        "differs": [one[0] for one in drift.properties],
    }
