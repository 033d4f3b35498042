"""`rollcall notion …` with the on-call calendar: set up, compared, repaired, moved, and said so."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from db import oncall
from db.database import transaction
from db.oncall import Planned
from handlers import patience
from handlers.notion.calendar import Calendars
from handlers.notion.table import KEY
from handlers.oncall.hours import instants
from handlers.oncall.model import DEFAULT_ROTATIONS
from handlers.oncall.settings import OnCallSettings
from service.sandbox.world import World, running_in_thread
from tests.service.cli.conftest import Rollcall, said

TODAY = datetime.now(UTC).date()
MONDAY = TODAY - timedelta(days=TODAY.weekday())
LONG_AGO = date(2000, 1, 1)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, rollcall: Rollcall) -> Iterator[World]:
    async def pause(_seconds: float) -> None:
        return

    monkeypatch.setattr(patience, "pause", pause)
    with running_in_thread(World(seed=7)) as world:
        monkeypatch.setenv("NOTION_API_TOKEN", world.notion.token)
        monkeypatch.setenv("NOTION_BASE_URL", world.notion_url)
        monkeypatch.setenv("NOTION_REQUESTS_PER_SECOND", "0")
        yield world


@pytest.fixture
def calendars(world: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch) -> Calendars:
    """Both calendars, made by the command; the settings name them, and no People database."""
    made = said(rollcall("notion", "setup", "--parent", world.notion.parent_page_id, "--json"))
    _, current, past = made["databases"]
    for one in (current, past):
        monkeypatch.setenv(one["setting"], one["data_source_id"])
    world.requests.clear()
    return Calendars(current["data_source_id"], past["data_source_id"])


@pytest.fixture
def shown(calendars: Calendars, world: World, database_url: str, rollcall: Rollcall) -> Calendars:
    """Last week and this week, of one person, shown where they belong."""
    with transaction(database_url) as tx:
        schedule(tx, [MONDAY + timedelta(days=n) for n in (*range(-7, -2), *range(5))])
    assert rollcall("notion", "reconcile").exit_code == 0
    world.requests.clear()
    return calendars


def schedule(tx: Connection, days: list[date]) -> None:
    tz = OnCallSettings().tz
    for day in days:
        for one in DEFAULT_ROTATIONS:
            named = ("ada@example.com", "Ada Byron")
            row = Planned(day, one.name, 7, *named, *instants(day, one, tz), "run", pinned=False, reason={})
            oncall.put(tx, 1, [row], LONG_AGO)


def test_s2_9_a_reconcile_writes_both_calendars_and_prints_the_agreement(
    shown: Calendars, world: World, rollcall: Rollcall
) -> None:
    assert [len(world.notion.rows(one)) for one in (shown.current, shown.past)] == [15, 15]
    again = rollcall("notion", "reconcile")
    assert (again.exit_code, "30 shifts, 30 pages, agreement 100.0%" in again.stdout) == (0, True)
    assert world.requests.writes("notion") == []


def test_drift_is_a_table_and_is_repaired(shown: Calendars, world: World, rollcall: Rollcall) -> None:
    edited, trashed, *_ = world.notion.pages_of(shown.current)
    old, *_ = world.notion.pages_of(shown.past)
    for page in (edited, old):
        world.notion.edit(page["id"], {"Final Engineer": {"rich_text": []}})
    world.notion.edit(trashed["id"], in_trash=True)
    far = f"shift:{MONDAY + timedelta(days=300)}:AM"
    world.notion.add_row(shown.current, {KEY: {"rich_text": [{"text": {"content": far}}]}})
    dry = rollcall("notion", "reconcile", "--dry-run")
    assert (dry.exit_code, "agreement 93.3%" in dry.stdout) == (1, True)
    assert world.requests.writes("notion") == []
    done = said(rollcall("notion", "reconcile", "--json"))["calendar"]
    assert done["found"] == {"different": 1, "missing": 1, "past": 1, "outside": 1}
    assert (done["left"], done["agreement"], done["shifts"]) == ({"past": 1, "outside": 1}, 1.0, 30)
    assert [one["differs"] for one in done["drifts"] if one["kind"] in ("different", "past")] == [
        ["Final Engineer"]
    ] * 2


def test_s2_9_past_writes_finished_pages_when_an_operator_says_so(
    shown: Calendars, world: World, rollcall: Rollcall, database_url: str
) -> None:
    with transaction(database_url) as tx:
        oncall.forget(tx, 7, "former member 7")
    rollcall("notion", "reconcile")
    assert "Ada" not in str(world.notion.rows(shown.current))
    assert "Ada" in str(world.notion.rows(shown.past))
    ended = rollcall("notion", "reconcile", "--past", "--json")
    assert (ended.exit_code, said(ended)["calendar"]["left"]) == (0, {})
    assert "Ada" not in str(world.notion.rows(shown.past))


def test_setup_names_what_a_move_would_lose(shown: Calendars, world: World, rollcall: Rollcall) -> None:
    """S2.12."""
    source = world.notion.store.data_sources[shown.current]
    source.schema["Notes"] = {"id": "nts", "name": "Notes", "type": "rich_text", "rich_text": {}}
    source.reindex()
    ended = rollcall("notion", "setup")
    assert (ended.exit_code, "'Notes' is in ON-CALL CALENDAR and not in PAST CALENDAR" in ended.stderr) == (1, True)


def test_rebuild_marks_the_shifts_of_this_week_and_later(
    shown: Calendars, world: World, rollcall: Rollcall, database_url: str
) -> None:
    assert said(rollcall("notion", "rebuild", "--json")) == {"marked": 15}
    with transaction(database_url) as tx:
        due = tx.execute(text("SELECT count(*) FROM sync_actions WHERE status = 'due' AND key LIKE 'shift:%'"))
        assert due.scalar_one() == 15


def test_without_either_calendar_or_directory_the_settings_are_named(world: World, rollcall: Rollcall) -> None:
    ended = rollcall("notion", "reconcile")
    assert (ended.exit_code, "NOTION_PAST_CALENDAR_DATA_SOURCE_ID" in ended.stderr) == (2, True)
