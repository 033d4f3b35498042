"""Planning again: nothing moves without a cause, today, tomorrow, or because the horizon is further away."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.oncall.model import DEFAULT_RULES, Member, Plan, Shift, Slot
from tests.handlers.oncall.plans import (
    AM,
    DAY,
    MONDAY,
    PM,
    WEEK,
    Team,
    off,
    servers,
    team,
    teams,
    time_offs,
    with_overrides,
)

few = settings(max_examples=15, deadline=None, derandomize=True, database=None)
SIXTEEN = (*[AM] * 6, *[PM] * 10)


def stored(history: Iterable[Shift], made: Plan, today: date) -> list[Shift]:
    """What the table holds once a plan is written: the past as it was, the rest as planned."""
    rows = {shift.slot: shift for shift in history if shift.slot.date < today or shift.slot.date > made.until}
    return list((rows | {shift.slot: shift for shift in made.assignments}).values())


@few
@given(teams(least=2, most=6), st.integers(), st.data())
def test_planning_twice_changes_nothing(team: Team, seed: int, data: st.DataObject) -> None:
    ids = range(1, len(team.members) + 1)
    history = with_overrides(team.plan(weeks=4).assignments, seed, ids)
    changed = replace(team, time_off=team.time_off + data.draw(time_offs(len(ids))))
    today = MONDAY + data.draw(st.integers(0, 16)) * DAY
    once = changed.plan(today, 4, history)
    again = changed.plan(today, 4, stored(history, once, today))
    assert again.assignments == once.assignments
    assert again.moved == ()


@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(teams(least=2, most=6), st.integers(), st.data())
def test_planning_every_day_moves_nothing_when_nothing_happens(team: Team, seed: int, data: st.DataObject) -> None:
    ids = range(1, len(team.members) + 1)
    history = with_overrides(team.plan(weeks=4).assignments, seed, ids)
    team = replace(team, time_off=team.time_off + data.draw(time_offs(len(ids))))
    rows = stored(history, team.plan(MONDAY + DAY, 4, history), MONDAY + DAY)
    for day in range(2, 13):
        today = MONDAY + day * DAY
        made = team.plan(today, 4, rows)
        assert made.moved == ()
        rows = stored(rows, made, today)


@few
@given(teams(least=2, most=6), st.integers(1, 4))
def test_a_longer_horizon_only_adds(team: Team, more: int) -> None:
    short, long = team.plan(weeks=3), team.plan(weeks=3 + more)
    assert long.assignments[: len(short.assignments)] == short.assignments


def test_a_leaver_gives_away_future_shifts_and_keeps_the_past() -> None:  # S1.10
    before = team(*SIXTEEN)
    first = before.plan(weeks=8)
    leaver = next(shift.person for shift in first.assignments if shift.slot == Slot(MONDAY + WEEK, "Core"))
    last_day = MONDAY + WEEK + DAY
    members = tuple(replace(m, active_until=last_day) if m.id == leaver else m for m in before.members)
    made = replace(before, members=members).plan(MONDAY + WEEK + 2 * DAY, 8, first.assignments)
    assert leaver not in servers(made).values()
    frozen = [move for move in made.moved if move.frozen]
    assert {move.before for move in frozen} == {leaver}
    assert {f"P{leaver}: not active after {last_day}"} == {move.why for move in frozen}


def test_leave_inside_the_freeze_window_moves_only_those_days() -> None:
    before = team(*SIXTEEN)
    first = before.plan()
    who = week_of(first, "AM")[0]
    made = replace(before, time_off=(off(who, MONDAY + DAY, 2),)).plan(history=first.assignments)
    assert {move.slot for move in made.moved if move.frozen} == {Slot(MONDAY + n * DAY, "AM") for n in (1, 2)}
    assert week_of(made, "AM")[0] == week_of(made, "AM")[3] == who
    assert {move.why for move in made.moved if move.frozen} == {f"P{who}: on leave {MONDAY + DAY}..{MONDAY + 2 * DAY}"}


def week_of(made: Plan, rotation: str) -> list[int | None]:
    return [servers(made)[Slot(MONDAY + n * DAY, rotation)] for n in range(5)]


def test_a_new_holiday_removes_its_slots_and_says_so() -> None:
    first = team(*SIXTEEN).plan()
    made = team(*SIXTEEN, holidays=(MONDAY + DAY,)).plan(history=first.assignments)
    gone = {move.slot: (move.after, move.why) for move in made.moved}
    assert gone == {Slot(MONDAY + DAY, name): (None, "no working day") for name in ("AM", "Core", "PM")}


def test_a_stand_in_stays_even_outside_the_freeze_window_and_so_does_the_rest_of_that_turn() -> None:
    company = team(*SIXTEEN, rules=replace(DEFAULT_RULES, tolerance=0))
    first = company.plan(weeks=6)
    monday = MONDAY + 4 * WEEK
    owner = servers(first)[Slot(monday, "Core")]
    stand_in = next(n for n in range(7, 17) if n != owner)
    busy = [replace(shift, override=owner) if shift.slot.date < MONDAY + WEEK else shift for shift in first.assignments]
    rows = [replace(s, override=stand_in) if s.slot == Slot(monday + DAY, "Core") else s for s in busy]
    anew = servers(company.plan(MONDAY + WEEK, 6, busy))
    kept = servers(company.plan(MONDAY + WEEK, 6, rows))
    week = [Slot(monday + n * DAY, "Core") for n in range(5)]
    assert owner not in {anew[slot] for slot in week}
    assert [kept[slot] for slot in week] == [owner, stand_in, owner, owner, owner]


def test_nobody_stays_in_adjacent_weeks_only_because_it_was_planned_so() -> None:
    rules = replace(DEFAULT_RULES, rotations=DEFAULT_RULES.rotations[:1], tolerance=1e9)
    rows = [Shift(Slot(MONDAY + at * WEEK + n * DAY, "AM"), 1) for at in (3, 4) for n in range(5)]
    made = team(AM, AM, AM, rules=rules).plan(weeks=5, history=rows)
    assert len({servers(made)[Slot(MONDAY + at * WEEK, "AM")] for at in (3, 4)}) == 2


def test_what_is_planned_outside_the_freeze_window_stays_unless_another_choice_is_clearly_better() -> None:
    company = team(*SIXTEEN)
    strict = replace(company, rules=replace(DEFAULT_RULES, tolerance=0))
    first = company.plan(weeks=6)
    owner = servers(first)[Slot(MONDAY + 4 * WEEK, "Core")]

    def helped_out(days: int) -> list[Shift]:
        slots = {Slot(MONDAY + n * DAY, "AM") for n in range(days)}
        return [replace(shift, override=owner) if shift.slot in slots else shift for shift in first.assignments]

    assert company.plan(MONDAY + WEEK, 5, helped_out(1)).moved == ()
    assert strict.plan(MONDAY + WEEK, 5, helped_out(1)).moved != ()
    assert company.plan(MONDAY + WEEK, 5, helped_out(5)).moved != ()


def test_a_stand_in_who_goes_on_leave_hands_the_shift_back() -> None:
    first = team(*SIXTEEN).plan()
    slot = Slot(MONDAY, "Core")
    owner = servers(first)[slot]
    stand_in = next(n for n in range(7, 17) if n != owner)
    rows = [replace(shift, override=stand_in) if shift.slot == slot else shift for shift in first.assignments]
    made = team(*SIXTEEN, time_off=(off(stand_in, MONDAY),)).plan(history=rows)
    assert made.assignments[1] == Shift(slot, owner)
    assert [(m.before, m.after, m.why) for m in made.moved if m.slot == slot] == [
        (stand_in, owner, f"P{stand_in}, who took over: on leave {MONDAY}..{MONDAY}")
    ]


def test_a_pin_on_somebody_on_leave_stays_and_is_reported() -> None:
    slot = Slot(MONDAY, "AM")
    made = team(*SIXTEEN, time_off=(off(1, MONDAY),), pinned=(Shift(slot, 1),)).plan()
    assert made.assignments[0] == Shift(slot, 1, pinned=True)
    assert [(c.slot, c.person) for c in made.conflicts] == [(slot, 1)]
    assert f"on leave {MONDAY}" in made.conflicts[0].why


def test_a_pin_does_not_rewrite_the_past() -> None:
    rows, pin = [Shift(Slot(MONDAY, "AM"), 1)], Shift(Slot(MONDAY, "AM"), 2)
    made = team(*SIXTEEN, pinned=(pin,)).plan(MONDAY + DAY, history=rows)
    assert made == team(*SIXTEEN).plan(MONDAY + DAY, history=rows)


def test_leave_outside_the_freeze_window_moves_the_whole_turn_and_names_the_leave() -> None:
    monday = MONDAY + 5 * WEEK
    before = team(*SIXTEEN)
    first = before.plan(weeks=6)
    who = servers(first)[Slot(monday, "AM")]
    assert who
    made = replace(before, time_off=(off(who, monday + DAY),)).plan(weeks=6, history=first.assignments)
    moved = {move.slot.date: move.why for move in made.moved if move.slot.rotation == "AM" and move.before == who}
    assert moved == {monday + n * DAY: f"P{who}: on leave {monday + DAY}..{monday + DAY}" for n in range(5)}


def test_a_pin_on_somebody_who_left_is_planned_anew() -> None:
    slot = Slot(MONDAY + WEEK, "AM")
    before = team(*SIXTEEN)
    members = (replace(before.members[0], active_until=MONDAY), *before.members[1:])
    made = replace(before, members=members).plan(history=[Shift(slot, 1, pinned=True)])
    assert servers(made)[slot] not in {1, None}
    assert [(m.before, m.why) for m in made.moved] == [(1, f"P1: not active after {MONDAY}")]


def test_a_shift_of_somebody_unknown_is_planned_anew_but_the_past_is_theirs() -> None:
    rows = [Shift(Slot(MONDAY, "AM"), 99), Shift(Slot(MONDAY + 2 * DAY, "AM"), 99)]
    made = team(*SIXTEEN).plan(MONDAY + DAY, history=rows)
    assert 99 not in servers(made).values()
    assert [(m.slot.date, m.before, m.why) for m in made.moved] == [
        (MONDAY + 2 * DAY, 99, "person 99: no member any more")
    ]


@pytest.mark.parametrize("pool", [AM, PM])
def test_a_newcomer_is_neither_flooded_nor_spared(pool: frozenset[str]) -> None:
    joined = MONDAY + 26 * WEEK
    before = team(*SIXTEEN)
    first = before.plan(weeks=26)
    newcomer = Member(17, "Newcomer", pool, joined)
    made = replace(before, members=(*before.members, newcomer)).plan(joined, 26, first.assignments)
    weeks = [
        n for n in range(26) if 17 in {made_ for slot, made_ in servers(made).items() if slot.date == joined + n * WEEK}
    ]
    assert 3 <= len(weeks) <= 8
    assert min(later - earlier for earlier, later in pairwise(weeks)) > 1
