"""Made-up teams for the planner's tests, and what its hard rules say, written a second time and more slowly."""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from hypothesis import strategies as st

from handlers.oncall.model import DEFAULT_RULES, BlockLength, Member, Plan, Rules, Shift, Slot, TimeOff
from handlers.oncall.planning import plan

MONDAY = date(2026, 3, 2)
DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
AM, PM, BOTH, CORE = frozenset({"AM"}), frozenset({"PM"}), frozenset({"AM", "PM"}), frozenset({"Core"})


@dataclass(frozen=True, slots=True)
class Team:
    """What a plan is made of, except the time."""

    members: tuple[Member, ...]
    time_off: tuple[TimeOff, ...] = ()
    holidays: tuple[date, ...] = ()
    rules: Rules = DEFAULT_RULES
    pinned: tuple[Shift, ...] = field(default=())

    def plan(self, today: date = MONDAY, weeks: int = 4, history: Iterable[Shift] = ()) -> Plan:
        horizon = today + weeks * WEEK - DAY
        return plan(self.members, history, self.time_off, self.holidays, self.pinned, today, horizon, self.rules)

    def can(self, person: int, slot: Slot) -> bool:
        """The hard rules for one person and one slot, straight from the requirement."""
        member = next((member for member in self.members if member.id == person), None)
        rotation = next(rotation for rotation in self.rules.rotations if rotation.name == slot.rotation)
        return (
            member is not None
            and bool(member.pools & rotation.pools)
            and (member.active_from is None or member.active_from <= slot.date)
            and (member.active_until is None or slot.date <= member.active_until)
            and not any(off.person == person and off.first <= slot.date <= off.last for off in self.time_off)
        )

    def slots(self, first: date, last: date) -> set[Slot]:
        days = [first + n * DAY for n in range((last - first).days + 1)]
        return {
            Slot(day, rotation.name)
            for day in days
            if day.weekday() in self.rules.working_days and day not in self.holidays
            for rotation in self.rules.rotations
        }


def team(*pools: frozenset[str], **parts: object) -> Team:
    """Members 1, 2, 3 … in these pools."""
    return replace(Team(tuple(Member(n, f"P{n}", each) for n, each in enumerate(pools, 1))), **parts)


def off(person: int, first: date, days: int = 1) -> TimeOff:
    return TimeOff(person, first, first + (days - 1) * DAY)


def servers(made: Plan) -> dict[Slot, int | None]:
    return {shift.slot: shift.server for shift in made.assignments}


def week(made: Plan, monday: date = MONDAY) -> dict[str, list[int | None]]:
    """Who serves each rotation, Monday to Friday."""
    held = servers(made)
    names = dict.fromkeys(slot.rotation for slot in held)
    return {name: [held.get(Slot(monday + n * DAY, name)) for n in range(5)] for name in names}


def with_overrides(shifts: Sequence[Shift], seed: int, people: Collection[int]) -> list[Shift]:
    rnd, ids = random.Random(seed), sorted(people)
    return [replace(shift, override=rnd.choice(ids)) if rnd.random() < 0.1 else shift for shift in shifts]


days = st.integers(-14, 60).map(lambda n: MONDAY + n * DAY)


@st.composite
def time_offs(draw: st.DrawFn, people: int, most: int = 6) -> tuple[TimeOff, ...]:
    spans = st.builds(off, st.integers(1, people), days, st.integers(1, 12))
    return tuple(draw(st.lists(spans, max_size=most)))


@st.composite
def teams(draw: st.DrawFn, least: int = 1, most: int = 7) -> Team:
    count = draw(st.integers(least, most))
    members = tuple(
        Member(
            n,
            f"P{n}",
            draw(st.sampled_from((AM, PM, PM, BOTH, CORE))),
            draw(st.none() | days),
            draw(st.none() | st.none() | days.map(lambda day: day + 30 * DAY)),
        )
        for n in range(1, count + 1)
    )
    rules = Rules(block=draw(st.sampled_from(BlockLength)), freeze_days=draw(st.sampled_from((0, 7, 14))))
    holidays = tuple(draw(st.lists(days, max_size=4)))
    return Team(members, draw(time_offs(count)), holidays, rules)
