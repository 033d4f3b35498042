"""A shift as a page of the on-call calendar: what it shows, when it changes, and whom it names."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from handlers.notion import setup
from handlers.notion.api import NotionApi
from handlers.notion.calendar import CURRENT, PAST, TABLES
from handlers.notion.calendar_cycle import shown_after
from handlers.notion.sink import USERS_EVERY_MS, NotionSink
from handlers.notion.table import KEY, span
from handlers.oncall.daily import daily_plan
from handlers.oncall.desk import Desk
from handlers.oncall.membership import rotate
from handlers.oncall.requests import AddTimeOff
from service.relay import SinkLoop
from tests.rota import (
    MONDAY,
    TODAY,
    agreed,
    compared,
    current,
    cycle,
    days,
    drop,
    duties,
    every_slot,
    ids,
    instant_pair,
    keys_of,
    page_of,
    past,
    put,
    put_many,
    rota,
)
from tests.stage import CONTEXT, Stage, in_order, new_calendars, no_wait, read_users


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with rota(tmp_path) as stage:
        yield stage


def member(stage: Stage, number: int, email: str) -> str:
    """Somebody of Notion's user list."""
    user = {"object": "user", "id": f"{number:08d}-1111-4111-a111-111111111111", "type": "person", "name": "A"}
    return stage.world.notion.add_user({**user, "avatar_url": None, "person": {"email": email}})


def writes(stage: Stage) -> int:
    return len(stage.world.requests.writes("notion"))


async def test_s2_1_a_shift_is_a_date_with_start_and_end_in_the_workspaces_zone(stage: Stage) -> None:
    """S2.1: AM 09:00-12:00, Core 12:00-18:00, PM 18:00-21:00 by default, with the zone."""
    await put_many(stage, every_slot([TODAY]))
    await stage.run()
    assert [(row["Rotation"], row["Date"]["start"], row["Date"]["end"]) for row in in_order(current(stage))] == [
        ("AM", "2027-01-13T09:00:00.000+01:00", "2027-01-13T12:00:00.000+01:00"),
        ("Core", "2027-01-13T12:00:00.000+01:00", "2027-01-13T18:00:00.000+01:00"),
        ("PM", "2027-01-13T18:00:00.000+01:00", "2027-01-13T21:00:00.000+01:00"),
    ]


async def test_s2_1_hours_and_zone_are_the_workspaces_own(tmp_path: Path) -> None:
    """S2.1: hours, zone and working days are per workspace; a shift may end on the next day."""
    async with rota(tmp_path, zone="Asia/Kolkata", pm="22:00-02:30") as stage:
        await put(stage, TODAY, "PM")
        await stage.run()
        (row,) = current(stage)
        assert (row["Date"]["start"], row["Date"]["end"]) == (
            "2027-01-13T22:00:00.000+05:30",
            "2027-01-14T02:30:00.000+05:30",
        )
        (duty,) = await duties(stage)
        assert instant_pair(row["Date"]) == (duty.planned.starts_at, duty.planned.ends_at)


async def test_s2_2_original_override_and_final_engineer(stage: Stage) -> None:
    """S2.2: people where Notion knows them, Override empty without one, Final Engineer the name of who serves."""
    ada, bob = member(stage, 1, "user_ada@example.com"), member(stage, 2, "user_bob@example.com")
    await read_users(stage)
    await stage.run()
    await put(stage, TODAY, "AM", 1)
    await put(stage, TODAY, "PM", 1, instead=2)
    await put(stage, TODAY, "Core", None)
    await stage.run()
    shown = {row["Rotation"]: row for row in current(stage)}
    assert {name: (row["Orig. Engineer"], row["Override"], row["Final Engineer"]) for name, row in shown.items()} == {
        "AM": ([ada], [], "Ada Byron"),
        "PM": ([ada], [bob], "Bob Byron"),
        "Core": ([], [], ""),
    }
    assert [shown[name]["Name"] for name in ("AM", "Core", "PM")] == [
        "AM · Ada Byron",
        "Core · nobody",
        "PM · Bob Byron",
    ]


async def test_s2_2_an_override_taken_back_empties_its_column(stage: Stage) -> None:
    await put(stage, TODAY, "AM", 1, instead=2)
    await stage.run()
    await put(stage, TODAY, "AM", 1)
    await stage.run()
    (row,) = current(stage)
    assert (row["Override"], row["Override E-mail"], row["Final Engineer"]) == ([], "", "Ada Byron")
    assert (stage.creates, stage.updates) == (1, 1)


async def generate(stage: Stage) -> None:
    """As the clock does it, daily and soon after somebody came or went."""
    await shown_after(daily_plan(CONTEXT), CONTEXT).run(stage.database, stage.clock())


async def plan(stage: Stage) -> None:
    """Three people, one in each pool; the schedule is generated."""
    for user_id, rotation in ((1, "AM"), (2, "PM"), (3, "AM")):
        await stage.database.write(rotate, user_id, [rotation], CONTEXT, stage.clock())
    await generate(stage)


async def test_s2_3_after_a_generation_the_calendar_shows_it(stage: Stage) -> None:
    """S2.3: runs after each successful schedule generation."""
    await plan(stage)
    await stage.run(1000)
    await agreed(stage)
    assert len(current(stage)) == len(await duties(stage)) > 100


async def test_s2_3_a_failing_notion_never_fails_generation_and_catches_up_later(stage: Stage) -> None:
    stage.world.faults.add(platform="notion", status=503, times=None)
    await plan(stage)
    for _ in range(12):
        await stage.round()
        stage.clock.skip(60_000)
    planned = await duties(stage)
    assert len(planned) > 100
    assert (await stage.gate()).paused
    assert current(stage) == []
    stage.world.faults.calm()
    await stage.run(1000)
    await agreed(stage)
    assert len([key for key in await stage.alerts() if key.startswith("alert:paused:notion")]) == 1


async def test_s2_4_what_changes_is_created_updated_or_deleted_and_nothing_else_is_written(stage: Stage) -> None:
    """S2.4: reconciles on date and rotation, compares every property."""
    await put_many(stage, every_slot(days(TODAY, 3)))
    await stage.run()
    kept = page_of(stage, ids(stage).current, "shift:2027-01-13:AM")
    stage.world.requests.clear()
    await put(stage, TODAY, "AM", 2)
    await put(stage, date(2027, 1, 18), "AM")
    await drop(stage, date(2027, 1, 15), "PM")
    await stage.run()
    await agreed(stage)
    assert (stage.creates, stage.updates, writes(stage)) == (1, 2, 3)
    assert page_of(stage, ids(stage).current, "shift:2027-01-13:AM") == kept


async def test_s2_4_where_nothing_differs_nothing_is_written(stage: Stage) -> None:
    keys = await put_many(stage, every_slot(days(MONDAY, 14)))
    await stage.run(500)
    stage.world.requests.clear()
    await put_many(stage, every_slot(days(MONDAY, 14)))
    await stage.run(500)
    assert list(stage.world.requests) == []  # every mark was looked at, and what was sent is known
    await cycle(stage)
    assert writes(stage) == 0
    assert len(stage.world.requests) == 2  # each calendar, read once
    assert (await compared(stage)).records == len(keys)


EDITS: dict[str, dict[str, Any]] = {
    "Name": {"title": [{"text": {"content": "Lunch"}}]},
    "Date": {"date": {"start": "2027-01-13T09:00:00+01:00", "end": "2027-01-13T12:01:00+01:00"}},
    "Rotation": {"select": {"name": "PM"}},
    "Orig. Engineer": {"people": []},
    "Override": {"people": [{"object": "user", "id": "00000002-1111-4111-a111-111111111111"}]},
    "Final Engineer": {"rich_text": []},
    "Orig. E-mail": {"rich_text": [{"text": {"content": "x"}}]},
    "Override E-mail": {"rich_text": [{"text": {"content": "x"}}]},
    KEY: {"rich_text": []},
}


@pytest.mark.parametrize("name", TABLES[CURRENT].schema)
async def test_s2_4_and_s2_11_every_property_edited_in_notion_is_put_back(stage: Stage, name: str) -> None:
    """S2.11: no editing in Notion, no two-way sync: the database decides, and it is not changed."""
    member(stage, 1, "user_ada@example.com")
    member(stage, 2, "user_bob@example.com")
    await read_users(stage)
    key = await put(stage, TODAY)
    await stage.run()
    before = current(stage), await duties(stage)
    stage.world.requests.clear()
    stage.world.notion.edit(page_of(stage, ids(stage).current, key), {name: EDITS[name]})
    found = await compared(stage)
    assert [(one.kind, [prop[0] for prop in one.properties]) for one in found.drifts] == [("different", [name])]
    assert found.agreement == 0.0
    await cycle(stage)
    assert (current(stage), await duties(stage)) == before
    assert writes(stage) == 1


async def test_s2_4_duplicates_and_shifts_deleted_by_hand_are_put_right(stage: Stage) -> None:
    keys = await put_many(stage, every_slot([TODAY]))
    await stage.run()
    kept = page_of(stage, ids(stage).current, keys[0])
    twin = {KEY: {"rich_text": [{"text": {"content": keys[0]}}]}}
    stage.world.notion.add_row(ids(stage).current, twin)
    stage.world.notion.edit(page_of(stage, ids(stage).current, keys[1]), in_trash=True)
    found = await compared(stage)
    assert sorted((one.kind, one.key) for one in found.drifts) == [("duplicate", keys[0]), ("missing", keys[1])]
    await cycle(stage)
    await agreed(stage)
    assert page_of(stage, ids(stage).current, keys[0]) == kept


async def test_s2_5_who_is_not_in_notion_shows_as_the_address_and_leaves_a_line(stage: Stage) -> None:
    """S2.5: by address without regard to case, cached in the database; else the address as text, and a log line."""
    ada = member(stage, 1, "USER_ADA@Example.com")
    await read_users(stage)
    await stage.run()
    with capture_logs() as logs:
        key = await put(stage, TODAY, "AM", 1, instead=2)
        await stage.run()
    (row,) = current(stage)
    assert (row["Orig. Engineer"], row["Orig. E-mail"]) == ([ada], "")
    assert (row["Override"], row["Override E-mail"]) == ([], "user_bob@example.com")
    lines = [line for line in logs if line["event"] == "notion_person_unmapped"]
    assert [(line["key"], line["person"]) for line in lines] == [(key, 2)]
    assert "example.com" not in str(logs)


async def test_s2_5_who_comes_to_notion_later_is_shown_as_a_person_from_then_on(stage: Stage) -> None:
    await put(stage, TODAY, "AM", 1)
    await stage.run()
    ada = member(stage, 1, "user_ada@example.com")
    await read_users(stage)
    await stage.run()
    (row,) = current(stage)
    assert (row["Orig. Engineer"], row["Orig. E-mail"]) == ([ada], "")
    stage.world.notion.remove_user(ada)
    stage.clock.skip(USERS_EVERY_MS)
    await stage.run()
    (row,) = current(stage)
    assert (row["Orig. Engineer"], row["Orig. E-mail"]) == ([], "user_ada@example.com")


async def test_s2_5_who_left_notion_a_moment_ago_shows_as_the_address_and_nobody_is_alerted(stage: Stage) -> None:
    """Notion refuses a person it does not know; the list is read again before the mark is tried for the last time."""
    ada = member(stage, 1, "user_ada@example.com")
    await read_users(stage)
    await stage.run()
    stage.world.notion.remove_user(ada)
    key = await put(stage, TODAY, "AM", 1)
    await stage.run()
    assert [(row["Orig. Engineer"], row["Orig. E-mail"]) for row in current(stage)] == [([], "user_ada@example.com")]
    assert (await stage.marks())[key]["status"] == "settled"
    assert await stage.alerts() == []


async def test_s2_5_who_has_no_address_shows_as_their_name(stage: Stage) -> None:
    await stage.say("user_dee", "Dee", email=None)
    await put(stage, TODAY, "AM", 4)
    await stage.run()
    assert [row["Orig. E-mail"] for row in current(stage)] == ["Dee Byron"]


async def test_s2_6_rows_the_database_has_not_are_removed_in_the_synced_range_only(stage: Stage) -> None:
    """S2.6: the range is the days of the schedule, the first to the last."""
    await put_many(stage, every_slot([TODAY, date(2027, 1, 15)]))
    await stage.run()
    for key in ("shift:2027-01-14:AM", "shift:2027-01-18:AM", "shift:2026-12-01:AM", "note", ""):
        value = [{"text": {"content": key}}] if key else []
        stage.world.notion.add_row(ids(stage).current, {KEY: {"rich_text": value}})
    stage.world.requests.clear()
    found = await compared(stage)
    assert sorted((one.kind, one.key) for one in found.drifts if one.key) == [
        ("orphan", "shift:2027-01-14:AM"),
        ("outside", "shift:2026-12-01:AM"),
        ("outside", "shift:2027-01-18:AM"),
    ]
    assert found.agreement == 1.0
    await cycle(stage)
    assert keys_of(current(stage, trashed=True)) == ["shift:2027-01-14:AM"]
    assert {"shift:2027-01-18:AM", "shift:2026-12-01:AM", "note", ""} <= set(keys_of(current(stage)))
    assert writes(stage) == 1


async def test_s2_6_an_empty_database_removes_nothing(stage: Stage) -> None:
    """A service that was pointed at the wrong database must not empty the calendar."""
    await put_many(stage, every_slot([TODAY]))
    await stage.run()

    def lose(tx: Connection) -> None:
        for table in ("oncall_schedule", "sync_status", "sync_actions"):
            tx.execute(text(f"DELETE FROM {table}"))  # noqa: S608

    await stage.database.write(lose)
    await cycle(stage)
    assert len(current(stage)) == 3


async def test_s2_7_one_refused_shift_dies_with_one_alert_and_the_next_cycle_replays_it(stage: Stage) -> None:
    """S2.7: at once, then after 2, 4, 8, 16 s; then an alert; the action is kept for replay."""
    stage.world.faults.add(platform="notion", contains="2027-01-13", status=400, times=None)
    began = stage.clock()
    key = await put(stage, TODAY)
    other = await put(stage, date(2027, 1, 14))
    await stage.run()
    marks = await stage.marks()
    assert (marks[key]["status"], marks[other]["status"]) == ("dead", "settled")
    tries = await stage.rows("SELECT * FROM sync_logs WHERE key = :key ORDER BY id", key=key)
    assert len(tries) == 6
    assert [round((one["at"] - began) / 1000) for one in tries] == [0, 0, 2, 6, 14, 30]
    assert [one.rpartition(":")[0] for one in await stage.alerts()] == [f"alert:dead:notion:{marks[key]['id']}"]
    stage.world.faults.calm()
    await cycle(stage)
    await agreed(stage)


async def test_s2_8_each_environment_has_databases_of_its_own(stage: Stage) -> None:
    """S2.8: chosen by configuration; the same service code, other ids, other rows."""
    other = await new_calendars(stage.world)
    await put(stage, TODAY)
    await stage.run()
    api = NotionApi(stage.world.notion.token, stage.world.notion_url, no_wait)
    sink = NotionSink(api, None, CONTEXT, stage.clock, other)
    await stage.database.write(lambda tx: tx.execute(text("DELETE FROM sync_status")))
    await put(stage, TODAY)
    await SinkLoop(stage.database, sink, CONTEXT, stage.clock).drain()
    await api.close()
    assert [len(stage.world.notion.rows(one)) for one in (ids(stage).current, other.current)] == [1, 1]


async def test_s2_8_without_calendars_no_shift_is_sent(tmp_path: Path) -> None:
    async with rota(tmp_path) as stage:
        api = NotionApi(stage.world.notion.token, stage.world.notion_url, no_wait)
        sink = NotionSink(api, stage.data_source_id, CONTEXT, stage.clock)
        key = await put(stage, TODAY)
        await SinkLoop(stage.database, sink, CONTEXT, stage.clock).drain()
        await api.close()
        assert (await stage.marks())[key]["status"] == "settled"
        assert list(stage.world.requests) == []


async def test_s2_11_weekends_and_holidays_have_no_rows_by_default(stage: Stage) -> None:
    """S2.11: not weekends, unless the workspace works then."""
    await plan(stage)
    await stage.run(1000)
    shown = {date.fromisoformat(row["Date"]["start"][:10]).weekday() for row in current(stage)}
    assert shown == {0, 1, 2, 3, 4}


async def test_a_leave_shows_in_the_calendar_and_only_what_moved_is_written(stage: Stage) -> None:
    await plan(stage)
    await stage.run(1000)
    before = {row[KEY]: row["Final Engineer"] for row in current(stage)}
    stage.world.requests.clear()
    leave = AddTimeOff(person=1, first=TODAY + timedelta(days=7), last=TODAY + timedelta(days=9), anyway=True)
    await Desk(stage.database, CONTEXT).confirm(leave, None, stage.clock())
    await stage.run(1000)
    await agreed(stage)
    after = {row[KEY]: row["Final Engineer"] for row in current(stage)}
    moved = [key for key in before if before[key] != after[key]]
    assert writes(stage) == stage.updates == len(moved) > 0


async def test_a_person_who_goes_leaves_no_name_in_the_shifts_to_come(stage: Stage) -> None:
    await plan(stage)
    await stage.run(1000)
    await stage.remove("user_ada")
    await generate(stage)
    await stage.run(1000)
    await agreed(stage)
    upcoming = [row for row in current(stage) if row["Date"]["start"] > "2027-01-14"]
    assert "Ada" not in str(upcoming)


# -- S2.12: the schema --


@pytest.fixture
async def api(stage: Stage) -> AsyncIterator[NotionApi]:
    api = NotionApi(stage.world.notion.token, stage.world.notion_url, no_wait)
    yield api
    await api.close()


async def test_s2_12_both_calendars_are_made_alike_once_and_fit(stage: Stage, api: NotionApi) -> None:
    """S2.12: the schema is created and verified by us."""
    parent = stage.world.notion.parent_page_id
    made = [await setup.create(api, parent, TABLES[title]) for title in (CURRENT, PAST)]
    assert [(one.data_source_id, one.created) for one in made] == [
        (ids(stage).current, False),
        (ids(stage).past, False),
    ]
    assert [one.differences for one in made] == [[], []]
    columns = [
        {name: one["type"] for name, one in stage.world.notion.store.data_sources[id_.data_source_id].schema.items()}
        for id_ in made
    ]
    assert columns[0] == columns[1] == TABLES[CURRENT].schema
    assert setup.apart(made[0], made[1], (CURRENT, PAST)) == []


async def test_s2_12_each_difference_is_named_also_between_the_two(stage: Stage, api: NotionApi) -> None:
    """S2.12: a mismatch fails with the difference named."""
    rotation = {"select": {"options": [{"name": "AM"}, {"name": "Core"}]}}
    await api.add_properties(ids(stage).past, {"Date": None, "Rotation": rotation, "Override": {"rich_text": {}}})
    await api.add_properties(ids(stage).current, {"Notes": {"rich_text": {}}})
    schemas = [await setup.verify(api, id_, TABLES[CURRENT]) for id_ in (ids(stage).current, ids(stage).past)]
    assert schemas[0].differences == []
    assert schemas[1].differences == [
        "'Date' is missing; it must be of type date",
        "'Rotation' has no option 'PM'",
        "'Override' is of type rich_text; it must be people",
    ]
    assert setup.apart(schemas[0], schemas[1], (CURRENT, PAST)) == [
        "'Date' is in ON-CALL CALENDAR and not in PAST CALENDAR; add it there",
        "'Notes' is in ON-CALL CALENDAR and not in PAST CALENDAR; add it there",
        "'Override' is of type people in ON-CALL CALENDAR and of type rich_text in PAST CALENDAR",
    ]


async def test_s2_12_a_column_somebody_removed_pauses_the_sink_and_blames_no_shift(
    stage: Stage, api: NotionApi
) -> None:
    await api.add_properties(ids(stage).current, {"Final Engineer": None})
    key = await put(stage, TODAY)
    await stage.round()
    gate = await stage.gate()
    assert "Final Engineer is not a property that exists" in (gate.reason or "")
    assert ((await stage.marks())[key]["status"], (await stage.marks())[key]["attempts"]) == ("due", 0)
    await setup.add_missing(api, ids(stage).current, TABLES[CURRENT])
    await stage.run()
    await agreed(stage)


# -- values --


def test_what_a_date_shows_does_not_depend_on_the_zone_it_was_folded_into() -> None:
    table = TABLES[CURRENT]
    expected = span(1_799_829_000_000, 1_799_832_600_000)

    def read(start: str, end: str | None) -> str | None:
        value = {"type": "date", "date": {"start": start, "end": end, "time_zone": None}}
        return table.from_properties({"Date": value})[1]["Date"]

    assert read("2027-01-13T09:30:00.000+01:00", "2027-01-13T10:30:00.000+01:00") == expected
    assert read("2027-01-13T14:00:00.000+05:30", "2027-01-13T08:31:00.000-01:00") != expected
    assert read("2027-01-13T14:00:00.000+05:30", "2027-01-13T08:30:00.000-01:00") == expected
    assert read("2027-01-13T08:30:41Z", "2027-01-13T09:30:59Z") == expected  # minutes, no more
    assert read("2027-01-13", None) == "2027-01-13"
    assert read("2027-01-13T08:30:00Z", None) == "2027-01-13T08:30Z"


async def test_a_name_longer_than_notion_takes_is_cut(stage: Stage) -> None:
    await stage.say("user_ada", "A" * 3000)
    await put(stage, TODAY, "AM", 1)
    await stage.run()
    (row,) = current(stage)
    assert (len(row["Name"]), len(row["Final Engineer"])) == (2000, 2000)
    assert past(stage) == []
