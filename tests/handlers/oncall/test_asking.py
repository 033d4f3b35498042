"""Who is on call: at an instant, in any zone, across changes of the clock, overrides honoured."""

from datetime import date, time
from zoneinfo import ZoneInfo

import pytest

from handlers.oncall import asking
from handlers.oncall.hours import instants
from handlers.oncall.model import Rotation
from handlers.oncall.refusal import Refusal
from tests.handlers.oncall.team import CONTEXT, MONDAY, Team, at, in_days, iso


def names(duties: object) -> list[tuple[str, str | None]]:
    return [(duty.planned.rotation, duty.final_name) for duty in duties]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("clock", "on", "then"),
    [
        ("08:59", [], ["AM"]),
        ("09:00", ["AM"], ["Core"]),
        ("11:59", ["AM"], ["Core"]),
        ("12:00", ["Core"], ["PM"]),
        ("20:59", ["PM"], ["AM"]),
        ("21:00", [], ["AM"]),
    ],
)
def test_a_shift_begins_at_its_first_minute_and_ends_before_its_last(
    team: Team, clock: str, on: list[str], then: list[str]
) -> None:
    found = asking.who(team.tx, CONTEXT, at(MONDAY, clock))
    assert [rotation for rotation, _ in names(found.on)] == on
    assert [rotation for rotation, _ in names(found.next)] == then


def test_on_friday_night_monday_comes_next(team: Team) -> None:
    found = asking.who(team.tx, CONTEXT, at(in_days(4), "22:00"))
    assert [duty.planned.date for duty in found.next] == [in_days(7)]


def test_an_override_is_who_is_on_call(team: Team) -> None:
    instead = next(name for name in team.ids if name != team.server(MONDAY, "PM"))
    team.override(MONDAY, "PM", instead)
    assert names(asking.who(team.tx, CONTEXT, at(MONDAY, "19:00")).on) == [("PM", instead)]
    assert (MONDAY, "PM") in team.days_of(instead)


def test_the_next_change_is_the_end_of_a_shift_or_the_beginning_of_one(team: Team) -> None:
    assert asking.next_change(team.tx, CONTEXT, at(MONDAY, "08:00")) == at(MONDAY, "09:00")
    assert asking.next_change(team.tx, CONTEXT, at(MONDAY, "19:00")) == at(MONDAY, "21:00")


def test_before_anything_is_planned_nobody_is_on_call(empty: Team) -> None:
    assert asking.who(empty.tx, CONTEXT, empty.now) == asking.Now((), ())
    assert asking.next_change(empty.tx, CONTEXT, empty.now) is None
    assert asking.week(empty.tx, CONTEXT, MONDAY) == []


def test_the_day_is_the_workspace_s_not_utc_s(team: Team) -> None:
    team.set(zone="Pacific/Auckland")
    found = asking.who(team.tx, CONTEXT, at(in_days(1), "10:00", "Pacific/Auckland"))
    assert [duty.planned.date for duty in found.on] == [in_days(1)]
    assert iso(found.on[0].planned.starts_at) == f"{MONDAY}T20:00:00+00:00"


def test_a_night_shift_is_found_after_midnight(team: Team) -> None:
    team.set(pm="21:00-05:00")
    found = asking.who(team.tx, CONTEXT, at(in_days(1), "03:00"))
    assert [(duty.planned.date, duty.planned.rotation) for duty in found.on] == [(MONDAY, "PM")]


@pytest.mark.parametrize(
    ("zone", "sunday", "before", "after"),
    [
        ("Europe/Berlin", date(2027, 3, 28), "08:00", "07:00"),
        ("America/New_York", date(2027, 3, 14), "14:00", "13:00"),
        ("Australia/Sydney", date(2027, 4, 4), "22:00", "23:00"),
    ],
)
def test_in_three_zones_the_clock_changes_and_nine_stays_nine(zone: str, sunday: date, before: str, after: str) -> None:
    morning = Rotation("AM", time(9), time(12), frozenset())
    days = [sunday.replace(day=sunday.day - 2), sunday.replace(day=sunday.day + 1)]
    found = [iso(instants(day, morning, ZoneInfo(zone))[0])[11:16] for day in days]
    assert found == [before, after]
    assert {end - start for start, end in (instants(day, morning, ZoneInfo(zone)) for day in days)} == {3 * 3_600_000}


def test_a_night_shift_over_the_change_is_an_hour_longer_or_shorter() -> None:
    night = Rotation("PM", time(21), time(5), frozenset())
    spring, autumn = (
        instants(day, night, ZoneInfo("Europe/Berlin")) for day in (date(2027, 3, 27), date(2026, 10, 24))
    )
    assert [(end - start) / 3_600_000 for start, end in (spring, autumn)] == [7, 9]


def test_a_shift_within_the_hour_that_is_skipped_keeps_its_length() -> None:
    short = Rotation("PM", time(2, 30), time(3), frozenset())
    start, end = instants(date(2027, 3, 28), short, ZoneInfo("Europe/Berlin"))
    assert end - start == 1_800_000


def test_my_shifts_are_those_i_serve_in_the_end_and_not_those_that_are_over(team: Team) -> None:
    who = team.server(MONDAY, "AM")
    assert who
    found = asking.shifts_of(team.tx, CONTEXT, team.ids[who], at(MONDAY, "12:00"))
    assert (found[0].planned.date, found[0].planned.rotation) != (MONDAY, "AM")
    assert [duty.final_name for duty in found] == [who] * len(found)


def test_the_week_has_its_fifteen_shifts_whatever_day_is_named(team: Team) -> None:
    for day in (0, 3, 6):
        assert len(asking.week(team.tx, CONTEXT, in_days(day))) == 15


def test_why_names_every_member_once_as_candidate_or_with_what_excluded_them(team: Team) -> None:
    explained = asking.why(team.tx, CONTEXT, in_days(1), "PM", team.now)
    assert len(explained) == 1
    reason = explained[0].reason
    assert reason
    assert reason.chosen == explained[0].duty.planned.user_id
    named = [one.name for one in (*reason.candidates, *reason.excluded)]
    assert sorted(named) == sorted(team.ids)
    assert {one.why for one in reason.excluded} == {"not in a pool of PM (PM)"}


def test_why_of_a_day_is_of_all_its_rotations(team: Team) -> None:
    assert len(asking.why(team.tx, CONTEXT, in_days(1), None, team.now)) == 3


def test_why_of_a_past_day_that_had_none(team: Team) -> None:
    with pytest.raises(Refusal, match="Nothing was planned for 2026-10-30"):
        asking.why(team.tx, CONTEXT, date(2026, 10, 30), None, team.now)


def test_the_balance_of_a_finished_week_adds_up_to_nothing(team: Team) -> None:
    team.now = at(in_days(7))
    found = asking.balance(team.tx, CONTEXT, team.now)
    assert round(sum(one.difference for one in found), 1) == 0
    assert sum(one.hours_served for one in found) == 60
    assert [one.difference for one in found] == sorted((one.difference for one in found), reverse=True)
