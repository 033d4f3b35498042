"""What no plan may ever do: the planner's hard rules, over teams of every kind."""

import json
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.oncall.model import Reason, Shift
from tests.handlers.oncall.plans import DAY, MONDAY, WEEK, Team, days, servers, teams, time_offs, with_overrides

few = settings(max_examples=15, deadline=None, derandomize=True, database=None)


@few
@given(teams(), days)
def test_every_working_slot_is_planned_once_and_no_other_day(team: Team, today: date) -> None:
    made = team.plan(today)
    slots = [shift.slot for shift in made.assignments]
    assert len(slots) == len(set(slots))
    assert set(slots) == team.slots(today, made.until)
    assert made.until >= today + 4 * WEEK - DAY


@few
@given(teams(), days)
def test_who_is_assigned_can_serve_and_a_slot_is_unfilled_only_when_nobody_can(team: Team, today: date) -> None:
    made = team.plan(today)
    for slot, person in servers(made).items():
        able = {member.id for member in team.members if team.can(member.id, slot)}
        assert person in able if able else person is None
    assert set(made.unfilled) == {slot for slot, person in servers(made).items() if person is None}


@few
@given(teams(least=2, most=6), st.randoms(use_true_random=False))
def test_the_order_of_what_it_is_told_does_not_matter(team: Team, rnd: random.Random) -> None:
    history = with_overrides(team.plan().assignments, 1, range(1, len(team.members) + 1))

    def shuffled(items: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(rnd.sample(list(items), len(items)))

    other = replace(
        team,
        members=shuffled(team.members),
        time_off=shuffled(team.time_off),
        holidays=shuffled(team.holidays),
    )
    today = MONDAY + 9 * DAY
    assert team.plan(today, history=history) == other.plan(today, history=shuffled(history))


@few
@given(teams(least=2, most=6), days)
def test_reasons_name_every_member_once_and_survive_being_stored(team: Team, today: date) -> None:
    made = team.plan(today)
    assert set(made.reasons) == {shift.slot for shift in made.assignments}
    for slot, reason in made.reasons.items():
        candidates = [candidate.person for candidate in reason.candidates]
        excluded = [exclusion.person for exclusion in reason.excluded]
        assert sorted(candidates + excluded) == [member.id for member in team.members]
        assert all(team.can(person, slot) for person in candidates)
        assert reason.chosen == servers(made)[slot]
        assert reason.chosen in candidates or (reason.chosen is None and not candidates)
        assert Reason.from_json(json.loads(json.dumps(reason.as_json()))) == reason


@few
@given(teams(least=2, most=6), st.data())
def test_the_past_and_pins_stay_and_what_moved_is_listed_exactly(team: Team, data: st.DataObject) -> None:
    ids = range(1, len(team.members) + 1)
    rnd = random.Random(data.draw(st.integers()))
    first = team.plan(weeks=4)
    history = with_overrides(first.assignments, data.draw(st.integers()), ids)
    history = [replace(shift, pinned=rnd.random() < 0.1) for shift in history]
    later = replace(team, time_off=team.time_off + data.draw(time_offs(len(ids))))
    today = MONDAY + 3 * DAY
    made = later.plan(today, 4, history)
    before = {shift.slot: shift for shift in history}
    after = {shift.slot: shift for shift in made.assignments}
    assert all(slot.date >= today for slot in after)
    for slot, shift in before.items():
        active = next((m.active(slot.date) for m in team.members if m.id == shift.server), True)
        if shift.pinned and active and today <= slot.date <= made.until:
            assert after[slot] == shift
    changed = {
        slot: (before[slot].server, shift.server)
        for slot, shift in after.items()
        if slot in before and before[slot].server != shift.server
    }
    assert {move.slot: (move.before, move.after) for move in made.moved} == changed
    assert all(move.why for move in made.moved)


@few
@given(teams(least=2, most=6), st.data())
def test_inside_the_freeze_window_only_what_became_impossible_changes(team: Team, data: st.DataObject) -> None:
    ids = range(1, len(team.members) + 1)
    history = with_overrides(team.plan(weeks=4).assignments, data.draw(st.integers()), ids)
    later = replace(team, time_off=team.time_off + data.draw(time_offs(len(ids))))
    today = MONDAY + data.draw(st.integers(0, 20)) * DAY
    made = later.plan(today, 4, history)
    before = {shift.slot: shift for shift in history}
    for move in made.moved:
        assert move.frozen or move.slot.date >= today + team.rules.freeze_days * DAY
        if move.frozen and move.before is not None:
            assert not _can_stay(later, before[move.slot])


def _can_stay(team: Team, shift: Shift) -> bool:
    """A stand-in need not be in the pool; they were asked by a person."""
    member = next(member for member in team.members if member.id == shift.server)
    if shift.override is None:
        return team.can(member.id, shift.slot)
    away = any(off.person == member.id and off.first <= shift.slot.date <= off.last for off in team.time_off)
    return member.active(shift.slot.date) and not away
