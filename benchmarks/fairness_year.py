"""A made-up organisation and a year of its life, with the same leave, sickness and stand-ins for every planner."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from handlers.oncall.model import DEFAULT_RULES, Member, Shift, Slot, TimeOff
from handlers.oncall.planning import plan
from handlers.oncall.planning_kept import frozen
from handlers.oncall.planning_rules import People, Piece

START = date(2026, 1, 5)  # a Monday
WEEK, DAY = timedelta(weeks=1), timedelta(days=1)
AHEAD = 6 * WEEK  # how far the year's daily plans reach
LEAVE_DAYS, SICK_DAYS, OVERRIDES = 25, 6, 0.08  # a year and person; a shift
ROTATIONS = {rotation.name: rotation for rotation in DEFAULT_RULES.rotations}


@dataclass(frozen=True, slots=True)
class Absence:
    """Time off, and the day from which the planner may know of it."""

    time_off: TimeOff
    known: date


@dataclass(frozen=True, slots=True)
class Organisation:
    members: tuple[Member, ...]
    absences: tuple[Absence, ...]
    weeks: int

    def people(self) -> People:
        return People(self.members, self.time_off(), DEFAULT_RULES)

    def time_off(self, today: date = date.max) -> list[TimeOff]:
        return [absence.time_off for absence in self.absences if absence.known <= today]

    def mondays(self) -> list[date]:
        return [START + number * WEEK for number in range(self.weeks)]


def organisation(
    seed: int, weeks: int, am: int = 6, pm: int = 10, *, leave: bool = True, joiner: int | None = None
) -> Organisation:
    """`joiner`: in which week one more person begins, in a pool that depends on the seed."""
    rnd = random.Random(f"organisation {seed}")
    members = [Member(n, f"P{n:02}", frozenset({"AM" if n <= am else "PM"})) for n in range(1, am + pm + 1)]
    if joiner is not None:
        pool = frozenset({"AM" if seed % 3 == 0 else "PM"})
        members.append(Member(am + pm + 1, "Newcomer", pool, START + joiner * WEEK))
    absences = [absence for member in members for absence in _absences(rnd, member, weeks)] if leave else []
    return Organisation(tuple(members), tuple(absences), weeks)


def _absences(rnd: random.Random, member: Member, weeks: int) -> Iterator[Absence]:
    """Weeks and single days of leave, known weeks ahead; one in ten late. Sickness is known the same morning."""
    left = LEAVE_DAYS * weeks / 52
    while left >= 1:
        days = rnd.choice((1, 2, 5, 5, 10))
        first = START + rnd.randrange(weeks) * WEEK + (rnd.randrange(5) * DAY if days < 5 else 0 * DAY)
        notice = rnd.randrange(2, 10) if rnd.random() < 0.1 else rnd.randrange(21, 90)
        yield Absence(TimeOff(member.id, first, first + (days + days // 5 * 2 - 1) * DAY), first - notice * DAY)
        left -= days
    left = SICK_DAYS * weeks / 52
    while left >= 1:
        days = rnd.choice((1, 2, 3))
        first = START + rnd.randrange(weeks * 7) * DAY
        yield Absence(TimeOff(member.id, first, first + (days - 1) * DAY), first)
        left -= days


@dataclass(slots=True)
class Year:
    """What came of it, in days.

    `churn`: changed hands before they were frozen. `repaired`, `broken`: changed hands inside the freeze window,
    because they had become impossible, and without need. `on_leave`: somebody absent was on call.
    """

    shifts: dict[Slot, Shift] = field(default_factory=dict)
    churn: int = 0
    repaired: int = 0
    broken: int = 0
    on_leave: int = 0
    unfilled: int = 0


def live(company: Organisation, seed: int) -> Year:
    """Every morning: plan, if there is any news; then somebody stands in for one shift in twelve or so."""
    year, rnd = Year(), random.Random(f"overrides {seed}")
    end = START + company.weeks * WEEK
    known: list[TimeOff] | None = None
    day = START
    while day < end:
        news = company.time_off(day)
        if day.weekday() == 0 or news != known or any(shift.override for shift in _on(year.shifts, day - DAY)):
            _regenerate(company, year, day, news)
            known = news
        for shift in _on(year.shifts, day):
            _serve(company, year, shift, rnd)
        day += DAY
    year.shifts = {slot: shift for slot, shift in year.shifts.items() if slot.date < end}
    return year


def _on(shifts: Mapping[Slot, Shift], day: date) -> list[Shift]:
    slots = (Slot(day, name) for name in ROTATIONS)
    return [shifts[slot] for slot in slots if slot in shifts]


def _regenerate(company: Organisation, year: Year, today: date, time_off: list[TimeOff]) -> None:
    people = People(company.members, time_off, DEFAULT_RULES)
    made = plan(company.members, year.shifts.values(), time_off, (), (), today, today + AHEAD)
    for shift in made.assignments:
        before = year.shifts.get(shift.slot)
        if before and before.person != shift.person:
            possible = before.person and not people.absence(before.person, [shift.slot.date])
            inside = frozen(shift.slot.date, today, DEFAULT_RULES)
            year.churn += not inside
            year.repaired += inside and not possible
            year.broken += bool(inside and possible)
        year.shifts[shift.slot] = shift


def _serve(company: Organisation, year: Year, shift: Shift, rnd: random.Random) -> None:
    """The day comes: is the person there, and does somebody stand in?"""
    slot, people = shift.slot, company.people()
    if shift.person is None:
        year.unfilled += 1
    elif people.absence(shift.person, [slot.date]):
        year.on_leave += 1
    busy = {other.server for other in _on(year.shifts, slot.date)}
    free = sorted(people.able(ROTATIONS[slot.rotation], slot.date) - busy)
    if rnd.random() < OVERRIDES and free:
        year.shifts[slot] = replace(shift, override=rnd.choice(free))


Chooser = Callable[[str, frozenset[int], dict[int, date]], int]


def list_order(company: Organisation) -> Chooser:
    """Everybody in turn, rotation by rotation: whoever is next in the list and there."""
    ids = [member.id for member in company.members]
    pointers: defaultdict[str, int] = defaultdict(int)

    def choose(rotation: str, able: frozenset[int], _: dict[int, date]) -> int:
        while ids[pointers[rotation] % len(ids)] not in able:
            pointers[rotation] += 1
        pointers[rotation] += 1
        return ids[(pointers[rotation] - 1) % len(ids)]

    return choose


def least_recent(_: Organisation) -> Chooser:
    """Whoever has not served for the longest time."""
    return lambda _, able, last: min(able, key=lambda person: (last.get(person, date.min), person))


def live_simply(company: Organisation, seed: int, rule: Callable[[Organisation], Chooser]) -> Year:
    """The same year under a simple rule, which is told of every absence of the week beforehand, sickness too."""
    year, rnd, people, choose = Year(), random.Random(f"overrides {seed}"), company.people(), rule(company)
    last: dict[int, date] = {}
    for monday in company.mondays():
        taken: dict[date, set[int]] = defaultdict(set)
        for piece in pieces_of(people, monday):
            busy = frozenset().union(*(taken[day] for day in piece.days))
            person = choose(piece.rotation.name, piece.able - busy or piece.able, last)
            last[person] = monday
            for day in piece.days:
                taken[day].add(person)
                year.shifts[Slot(day, piece.rotation.name)] = Shift(Slot(day, piece.rotation.name), person)
        for shift in sorted(year.shifts.values(), key=lambda shift: shift.slot)[-15:]:
            if shift.slot.date >= monday:
                _serve(company, year, shift, rnd)
    return year


def pieces_of(people: People, monday: date) -> Iterable[Piece]:
    days = [monday + number * DAY for number in range(5)]
    return [piece for rotation in DEFAULT_RULES.rotations for piece in people.pieces(rotation, days)]
