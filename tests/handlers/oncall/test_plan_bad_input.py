"""Teams too small, rotations without people, weeks without anybody: a plan is made, and what is missing is visible."""

from dataclasses import replace

from handlers.oncall.model import DEFAULT_RULES, Rules, Shift, Slot
from tests.handlers.oncall.plans import AM, DAY, MONDAY, PM, WEEK, off, servers, team, week


def test_two_people_and_three_rotations_share_them() -> None:
    made = team(AM, PM).plan(weeks=8)
    assert made.unfilled == ()
    assert set(week(made)["AM"]) == {1}
    assert set(week(made)["PM"]) == {2}
    assert {servers(made)[Slot(MONDAY + n * WEEK, "Core")] for n in range(8)} == {1, 2}
    shown = {c.person: c.doubles for c in made.reasons[Slot(MONDAY, "Core")].candidates}
    assert shown == {1: 5, 2: 5}


def test_a_rotation_with_nobody_is_unfilled_and_says_who_was_not_in_its_pool() -> None:
    made = team(AM, AM).plan(weeks=1)
    assert made.unfilled == tuple(Slot(MONDAY + n * DAY, "PM") for n in range(5))
    reason = made.reasons[Slot(MONDAY, "PM")]
    assert (reason.chosen, reason.why) == (None, f"nobody can serve PM on {MONDAY}")
    assert {e.name: e.why for e in reason.excluded} == dict.fromkeys(("P1", "P2"), "not in a pool of PM (PM)")


def test_a_slot_nobody_can_serve_is_unfilled_alone() -> None:
    away = tuple(off(who, MONDAY + 2 * DAY) for who in (1, 2))
    made = replace(team(AM, AM, PM, PM, PM), time_off=away).plan(weeks=1)
    assert made.unfilled == (Slot(MONDAY + 2 * DAY, "AM"),)
    assert week(made)["AM"][2] is None


def test_everybody_on_leave_leaves_the_week_unfilled_and_nobody_behind() -> None:
    away = tuple(off(who, MONDAY, 7) for who in (1, 2, 3, 4))
    made = replace(team(AM, AM, PM, PM), time_off=away).plan(weeks=2)
    assert {slot.date for slot in made.unfilled} == {MONDAY + n * DAY for n in range(5)}
    next_week = made.reasons[Slot(MONDAY + WEEK, "Core")]
    assert {c.difference for c in next_week.candidates} == {0.0}


def test_an_unfilled_slot_is_filled_as_soon_as_somebody_can() -> None:
    away = (off(1, MONDAY, 5), off(2, MONDAY, 5))
    first = replace(team(AM, AM, PM, PM), time_off=away).plan(weeks=1)
    made = replace(team(AM, AM, PM, PM), time_off=away[:1]).plan(weeks=1, history=first.assignments)
    assert made.unfilled == ()
    assert {(m.before, m.after) for m in made.moved if m.slot.rotation == "AM"} == {(None, 2)}


def test_nobody_at_all() -> None:
    made = team().plan(weeks=1)
    assert len(made.unfilled) == len(made.assignments) == 15


def test_a_week_of_holidays_has_no_slots() -> None:
    made = team(AM, PM, holidays=tuple(MONDAY + n * DAY for n in range(5))).plan(weeks=2)
    assert {shift.slot.date for shift in made.assignments} == {MONDAY + WEEK + n * DAY for n in range(5)}


def test_a_holiday_does_not_count_as_a_day_of_the_turn() -> None:
    away = (off(1, MONDAY + DAY), off(2, MONDAY + 2 * DAY))
    made = replace(team(AM, AM, PM, PM), time_off=away, holidays=(MONDAY + DAY,)).plan(weeks=1)
    assert week(made)["AM"] == [1, None, 1, 1, 1]


def test_no_rotations_and_no_working_days_are_an_empty_plan() -> None:
    for rules in (Rules(rotations=()), Rules(working_days=frozenset())):
        made = team(AM, PM, rules=rules).plan()
        assert (made.assignments, made.moved, made.unfilled) == ((), (), ())


def test_overlapping_leave_of_one_person_is_leave() -> None:
    away = (off(1, MONDAY, 3), off(1, MONDAY + DAY, 7))
    made = replace(team(AM, AM, PM, PM), time_off=away).plan(weeks=2)
    assert 1 not in {person for slot, person in servers(made).items() if slot.date <= MONDAY + 7 * DAY}


def test_a_horizon_in_the_past_still_plans_the_block_of_today() -> None:
    made = team(AM, PM).plan(MONDAY + 2 * DAY, weeks=-3)
    assert {shift.slot.date for shift in made.assignments} == {MONDAY + n * DAY for n in (2, 3, 4)}


def test_shifts_of_a_rotation_that_is_gone_are_removed_and_listed() -> None:
    rules = replace(DEFAULT_RULES, rotations=DEFAULT_RULES.rotations[:2])
    first = team(AM, AM, PM, PM).plan(weeks=1)
    made = team(AM, AM, PM, PM, rules=rules).plan(weeks=1, history=first.assignments)
    gone = {(m.slot.rotation, m.after, m.why) for m in made.moved}
    assert gone == {("PM", None, "no such rotation any more")}


def test_a_shift_pinned_to_nobody_is_unfilled() -> None:
    slot = Slot(MONDAY, "AM")
    made = replace(team(AM, AM, PM, PM), pinned=(Shift(slot, None),)).plan(weeks=1)
    assert made.unfilled == (slot,)
