"""Whom the planner picks among those who could: small cases done by hand, and all small cases by trying everything."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import pairwise, product

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.oncall.fairness import change
from handlers.oncall.model import DEFAULT_RULES, BlockLength, Member, Shift, Slot
from handlers.oncall.planning_rules import People
from tests.handlers.oncall.plans import AM, BOTH, DAY, MONDAY, PM, WEEK, Team, off, servers, team, week

HALF_DAYS = replace(DEFAULT_RULES, rotations=DEFAULT_RULES.rotations[:2])  # AM and Core
NEXT_WEEKS = tuple(MONDAY + n * DAY for n in range(7, 40))
Schedule = tuple[tuple[int, ...], ...]  # week by week, who serves each rotation


def test_one_person_has_a_rotation_for_the_whole_week() -> None:
    made = week(team(AM, AM, PM, PM, PM).plan())
    assert {name: len(set(people)) for name, people in made.items()} == {"AM": 1, "Core": 1, "PM": 1}


def test_by_day_the_turns_are_days() -> None:
    made = week(replace(team(AM, AM, AM, PM, PM, PM), rules=replace(DEFAULT_RULES, block=BlockLength.DAY)).plan())
    assert all(one != other for people in made.values() for one, other in pairwise(people))


def test_who_has_served_least_is_next() -> None:
    # Four people serve AM (15 h) and Core (30 h): 11.25 h each. 1 and 2 have served, so 3 and 4 are behind alike.
    rows = [Shift(Slot(MONDAY + n * DAY, name), person) for n in range(5) for name, person in (("AM", 1), ("Core", 2))]
    made = replace(team(AM, AM, AM, AM), rules=HALF_DAYS).plan(MONDAY + WEEK, 1, rows)
    assert {people[0] for people in week(made, MONDAY + WEEK).values()} == {3, 4}
    reason = made.reasons[Slot(MONDAY + WEEK, "Core")]
    assert {c.person: c.difference for c in reason.candidates} == {1: 3.75, 2: 18.75, 3: -11.25, 4: -11.25}
    assert {c.person for c in reason.candidates if c.adjacent} == {1, 2}


def test_hours_count_for_whoever_stood_in() -> None:
    rows = [Shift(Slot(MONDAY + n * DAY, "AM"), 1, override=2) for n in range(5)]
    made = team(AM, AM, AM, PM, PM).plan(MONDAY + WEEK, 1, rows)
    differences = {c.person: c.difference for c in made.reasons[Slot(MONDAY + WEEK, "AM")].candidates}
    assert differences == {1: -5.0, 2: 10.0, 3: -5.0}


def test_a_week_of_leave_earns_nothing_and_costs_nothing() -> None:
    rows = [Shift(Slot(MONDAY + n * DAY, "AM"), 1) for n in range(5)]
    made = replace(team(AM, AM, AM, PM), time_off=(off(3, MONDAY, 5),)).plan(MONDAY + WEEK, 1, rows)
    differences = {c.person: c.difference for c in made.reasons[Slot(MONDAY + WEEK, "AM")].candidates}
    assert differences == {1: 7.5, 2: -7.5, 3: 0.0}


def test_nobody_has_two_rotations_when_others_can() -> None:
    made = team(AM, AM, PM, PM, PM).plan(weeks=10)
    assert max(Counter((slot.date, person) for slot, person in servers(made).items()).values()) == 1


def test_nobody_serves_in_adjacent_weeks_when_others_can() -> None:
    made = servers(team(AM, AM, AM, PM, PM, PM, PM).plan(weeks=20))
    for monday in (MONDAY + n * WEEK for n in range(19)):
        here = {person for slot, person in made.items() if slot.date == monday}
        assert not here & {person for slot, person in made.items() if slot.date == monday + WEEK}


def test_a_turn_beside_a_pinned_week_is_avoided() -> None:
    pins = tuple(Shift(Slot(MONDAY + WEEK + n * DAY, "AM"), 1) for n in range(5))
    made = replace(team(AM, AM, AM, PM, PM, PM, PM), pinned=pins).plan(weeks=3)
    assert 1 not in {person for slot, person in servers(made).items() if slot.date < MONDAY + WEEK}
    assert 1 not in {person for slot, person in servers(made).items() if slot.date > MONDAY + 12 * DAY}


def test_not_even_whoever_is_far_behind_serves_beside_a_pinned_week() -> None:
    rules = replace(DEFAULT_RULES, rotations=DEFAULT_RULES.rotations[:1])
    rows = [Shift(Slot(MONDAY - at * WEEK + n * DAY, "AM"), 2 + at % 2) for at in range(2, 8) for n in range(5)]
    pins = tuple(Shift(Slot(MONDAY + WEEK + n * DAY, "AM"), 1) for n in range(5))
    made = replace(team(AM, AM, AM), rules=rules, pinned=pins).plan(weeks=1, history=rows)
    assert 1 not in week(made)["AM"]
    assert next(c for c in made.reasons[Slot(MONDAY, "AM")].candidates if c.person == 1).difference == -30.0


def test_a_share_that_is_larger_because_the_pool_is_small_counts() -> None:
    # 8 and 9 share AM, 7.5 h each; 1 to 7 share the rest, 6.43 h each. So 9 is further behind than any of them.
    made = team(*[PM] * 7, AM, AM, holidays=NEXT_WEEKS).plan(weeks=1)
    assert [people[0] for people in week(made).values()] == [8, 9, 1]


def test_a_week_nobody_can_serve_whole_is_cut_into_the_fewest_parts() -> None:
    away = (off(1, MONDAY), off(2, MONDAY + 3 * DAY, 2), off(3, MONDAY, 5))
    made = replace(team(AM, AM, AM, PM, PM), time_off=away).plan(weeks=1)
    assert week(made)["AM"] == [2, 2, 2, 1, 1]
    assert "it is cut" in made.reasons[Slot(MONDAY, "AM")].why


def test_the_late_rotation_goes_to_whoever_had_it_least_when_all_else_is_equal() -> None:
    # 1 and 2 had equal hours three weeks ago, but only 2 of them late.
    late = [Shift(Slot(MONDAY + n * DAY, "PM"), 2) for n in range(5)]
    early = [Shift(Slot(MONDAY + n * DAY, "AM"), 1) for n in range(5)]
    rules = replace(DEFAULT_RULES, rotations=(DEFAULT_RULES.rotations[0], DEFAULT_RULES.rotations[2]))
    made = replace(team(BOTH, BOTH), rules=rules).plan(MONDAY + 3 * WEEK, 1, [*late, *early])
    assert week(made, MONDAY + 3 * WEEK)["PM"] == [1] * 5


def test_whoever_has_waited_longest_is_next_when_all_are_even() -> None:
    rows = [
        Shift(Slot(MONDAY + at * WEEK + n * DAY, "AM"), who) for at, who in enumerate((4, 3, 2, 1)) for n in range(5)
    ]
    rules = replace(DEFAULT_RULES, rotations=DEFAULT_RULES.rotations[:1])
    made = replace(team(AM, AM, AM, AM), rules=rules).plan(MONDAY + 4 * WEEK, 4, rows)
    assert [week(made, MONDAY + at * WEEK)["AM"][0] for at in range(4, 8)] == [4, 3, 2, 1]
    assert "has waited longest since the last turn" in made.reasons[Slot(MONDAY + 4 * WEEK, "AM")].why


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.sampled_from((AM, PM, BOTH)), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2)), max_size=4),
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5)), max_size=3),
)
def test_a_block_with_nothing_after_it_is_filled_as_well_as_trying_everything_would(
    pools: list[frozenset[str]], away: list[tuple[int, int]], served: list[tuple[int, int, int]]
) -> None:
    """`served`: who had each rotation in the weeks before. What follows is all holidays."""
    ill = team(*pools, time_off=tuple(off(who, MONDAY + n * WEEK, 5) for who, n in away), holidays=NEXT_WEEKS)
    count = len(served)
    rows = [
        Shift(Slot(MONDAY - (count - n) * WEEK + day * DAY, rotation.name), who if who <= len(pools) else None)
        for n, people in enumerate(served)
        for rotation, who in zip(DEFAULT_RULES.rotations, people, strict=True)
        for day in range(5)
    ]
    made = ill.plan(weeks=1, history=rows)
    ours = tuple(week(made)[rotation.name][0] for rotation in DEFAULT_RULES.rotations)
    costs = {choice: cost(ill, rows, [choice]) for choice in choices(ill, MONDAY)}
    assert costs[ours] == min(costs.values())


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.sampled_from((AM, AM, BOTH)), min_size=2, max_size=3),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2)), max_size=3),
)
def test_the_choice_is_the_beginning_of_the_best_three_weeks(
    pools: list[frozenset[str]], away: list[tuple[int, int]]
) -> None:
    small = replace(team(*pools, time_off=tuple(off(who, MONDAY + n * WEEK, 5) for who, n in away)), rules=HALF_DAYS)
    ours = tuple(week(small.plan(weeks=1))[rotation.name][0] for rotation in HALF_DAYS.rotations)
    weeks = (choices(small, MONDAY + n * WEEK) for n in range(3))
    costs = {schedule: cost(small, [], schedule) for schedule in product(*(list(each) for each in weeks))}
    assert min(costs.values()) == min(total for schedule, total in costs.items() if schedule[0] == ours)


def choices(small: Team, monday: date) -> Iterator[tuple[int | None, ...]]:
    """Every way to fill a week that the hard rules allow."""
    able = [
        [m.id for m in small.members if small.can(m.id, Slot(monday, rotation.name))] or [None]
        for rotation in small.rules.rotations
    ]
    return product(*able)


def cost(small: Team, rows: list[Shift], schedule: object) -> tuple[int, int, int]:
    """Second rotations, turns after a turn, and the sum of squared differences (s²), over the weeks from MONDAY."""
    people = People(small.members, small.time_off, small.rules)
    weeks = {shift.slot.date - shift.slot.date.weekday() * DAY for shift in rows}
    differences: Counter[int] = Counter()
    before: set[int | None] = set()
    for monday in sorted(weeks):
        past = [shift for shift in rows if monday <= shift.slot.date < monday + WEEK]
        differences.update(change(people, past, small.rules))
        before = {shift.person for shift in past}
    doubles = adjacent = squares = 0
    for n, people_of in enumerate(schedule):
        names = [rotation.name for rotation in small.rules.rotations]
        shifts = [
            Shift(Slot(MONDAY + n * WEEK + day * DAY, name), who)
            for name, who in zip(names, people_of, strict=True)
            for day in range(5)
        ]
        serving = [who for who in people_of if who is not None]
        doubles += 5 * (len(serving) - len(set(serving)))
        adjacent += len(set(serving) & before)
        differences.update(change(people, shifts, small.rules))
        squares += sum(differences[member.id] ** 2 for member in small.members)
        before = set(serving)
    return doubles, adjacent, squares


def test_members_of_equal_standing_are_taken_in_the_order_of_their_ids() -> None:
    members = tuple(Member(n, f"P{n}", BOTH) for n in (30, 10, 20))
    made = Team(members).plan(weeks=1)
    assert [people[0] for people in week(made).values()] == [10, 20, 30]
    made = Team((*members, Member(40, "P40", BOTH))).plan(weeks=1)
    assert "equal to others by every rule" in made.reasons[Slot(MONDAY, "AM")].why
