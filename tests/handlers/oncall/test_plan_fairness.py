"""Entitlement and differences: what is everybody's share of the hours, and how far are they from it?"""

from dataclasses import replace
from datetime import time

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.oncall.fairness import balances, running_gap, water_fill
from handlers.oncall.model import Rotation, Shift, Slot
from tests.handlers.oncall.plans import AM, DAY, MONDAY, PM, WEEK, Team, off, team, teams

demands = st.lists(
    st.tuples(st.integers(1, 10**6), st.frozensets(st.integers(1, 6), min_size=1)), min_size=1, max_size=4
).map(tuple)


def test_everybody_gets_the_same_where_the_pools_allow_it() -> None:
    am, everyone, pm = frozenset(range(6)), frozenset(range(16)), frozenset(range(6, 16))
    shares = water_fill(((15 * 3600, am), (30 * 3600, everyone), (15 * 3600, pm)))
    assert shares == dict.fromkeys(range(16), 13_500)  # 60 h / 16


def test_a_pool_too_small_for_its_own_hours_is_filled_apart() -> None:
    shares = water_fill(((300, frozenset({1})), (100, frozenset({1, 2, 3})), (100, frozenset({2, 3}))))
    assert shares == {1: 300, 2: 100, 3: 100}


@settings(derandomize=True, database=None)
@given(demands)
def test_nothing_is_lost_but_remainders(filled: tuple[tuple[int, frozenset[int]], ...]) -> None:
    shares = water_fill(filled)
    total = sum(seconds for seconds, _ in filled)
    assert total - len(shares) < sum(shares.values()) <= total
    assert set(shares) == frozenset().union(*(people for _, people in filled))


@settings(derandomize=True, database=None)
@given(demands)
def test_nobody_could_give_to_somebody_who_has_less(filled: tuple[tuple[int, frozenset[int]], ...]) -> None:
    """Every demand goes to those of its people who have least: it could not be split more evenly."""
    shares = water_fill(filled)
    for level in set(shares.values()):
        low = {person for person, share in shares.items() if share <= level}
        must = sum(seconds for seconds, people in filled if people & low)
        assert sum(shares[person] for person in low) <= must
        high = {person for person, share in shares.items() if share >= level}
        own = sum(seconds for seconds, people in filled if people <= high)
        assert sum(shares[person] for person in high) <= own + len(high)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(teams(least=1))
def test_differences_add_up_to_nothing(some: Team) -> None:
    made = some.plan()
    sums = balances(some.members, made.assignments, some.time_off, some.rules)
    assert abs(sum(sums.values())) < 0.1


def test_a_rotation_past_midnight_has_its_hours() -> None:
    assert Rotation("Night", time(21), time(6), PM).seconds == 9 * 3600
    assert Rotation("All", time(9), time(9), PM).seconds == 24 * 3600


def test_the_gap_is_the_widest_there_ever_was_among_active_members() -> None:
    company = team(AM, AM)
    rows = [Shift(Slot(MONDAY + n * WEEK, "AM"), who) for n, who in enumerate((1, 1, 2, 2))]
    assert balances(company.members, rows, ()) == {1: 0.0, 2: 0.0}
    assert running_gap(company.members, rows, ()) == 6.0
    left = (company.members[0], replace(company.members[1], active_until=MONDAY))
    assert running_gap(left, rows[:1], ()) == 3.0


def test_hours_of_a_stand_in_who_was_on_leave_are_theirs_and_nobodys_due() -> None:
    company = team(AM, AM)
    rows = [Shift(Slot(MONDAY, "AM"), None, override=1)]
    away = (off(1, MONDAY), off(2, MONDAY))
    assert balances(company.members, rows, away) == {1: 3.0, 2: 0.0}


def test_an_empty_history_is_even() -> None:
    assert balances(team(AM, PM).members, (), (off(1, MONDAY, 3), off(1, MONDAY + DAY, 3))) == {1: 0.0, 2: 0.0}
