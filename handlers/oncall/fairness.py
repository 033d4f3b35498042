"""Hours served beside hours entitled to: the running difference that the planner keeps small (whole seconds inside)."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

from handlers.oncall.model import DEFAULT_RULES, HOUR_SECONDS, Member, Rules, Shift, TimeOff
from handlers.oncall.planning_rules import People, Piece, block_of

Demand = tuple[int, frozenset[int]]  # seconds, and who may serve them


@lru_cache(maxsize=1024)
def water_fill(demands: tuple[Demand, ...]) -> Mapping[int, int]:
    """Split each demand among its people so that what they get in all is as equal as their pools allow.

    The set of demands with the most seconds a head fills its people to that level; they take no part in the rest.
    A remainder below a second a head is dropped, so that people in the same position get exactly the same.
    """
    levels: dict[int, int] = {}
    rest = [demand for demand in demands if demand[1]]
    while rest:
        taken, people = _densest(rest, levels.keys())
        seconds = sum(rest[index][0] for index in taken)
        levels.update(dict.fromkeys(people, seconds // len(people)))
        rest = [demand for index, demand in enumerate(rest) if index not in taken]
    return levels


def _densest(demands: list[Demand], full: Collection[int]) -> tuple[frozenset[int], frozenset[int]]:
    choices = []
    for size in range(1, len(demands) + 1):
        for indexes in combinations(range(len(demands)), size):
            people = frozenset[int]().union(*(demands[index][1] for index in indexes)).difference(full)
            choices.append((Fraction(sum(demands[index][0] for index in indexes), len(people)), size, indexes, people))
    _, _, taken, people = max(choices, key=lambda choice: choice[:3])
    return frozenset(taken), people


def entitlement(pieces: Iterable[list[Piece]]) -> Mapping[int, int]:
    """Seconds each person should serve of a block, given each rotation's pieces: who can serve none gets none.

    Rotations that one person can serve throughout are split together; a turn that had to be cut, piece by piece.
    """
    whole: list[Demand] = []
    shares: Counter[int] = Counter()
    for cut in pieces:
        if len(cut) == 1:
            whole.append((cut[0].seconds, cut[0].able))
            continue
        for piece in cut:
            shares.update(water_fill(((piece.seconds, piece.able),)))
    shares.update(water_fill(tuple(whole)))
    return shares


def running(
    members: Collection[Member], shifts: Iterable[Shift], time_off: Iterable[TimeOff], rules: Rules = DEFAULT_RULES
) -> Iterator[tuple[date, Mapping[int, int]]]:
    """The differences in seconds after each block that has shifts, by its first day: served, less entitled to."""
    people = People(members, time_off, rules)
    blocks: defaultdict[date, list[Shift]] = defaultdict(list)
    for shift in shifts:
        blocks[block_of(shift.slot.date, rules)].append(shift)
    differences = dict.fromkeys(people.by_id, 0)
    for first in sorted(blocks):
        for person, seconds in change(people, blocks[first], rules).items():
            if person in differences:
                differences[person] += seconds
        yield first, dict(differences)


def change(people: People, shifts: Iterable[Shift], rules: Rules) -> Counter[int]:
    """What one block's shifts add to the differences, in seconds. Hours nobody served are nobody's duty."""
    seconds = Counter[int]()
    days: defaultdict[str, list[date]] = defaultdict(list)
    rotations = {rotation.name: rotation for rotation in rules.rotations}
    for shift in shifts:
        if shift.server is not None and shift.slot.rotation in rotations:
            seconds[shift.server] += rotations[shift.slot.rotation].seconds
            days[shift.slot.rotation].append(shift.slot.date)
    seconds.subtract(entitlement(people.pieces(rotations[name], sorted(days[name])) for name in sorted(days)))
    return seconds


def balances(
    members: Collection[Member], shifts: Iterable[Shift], time_off: Iterable[TimeOff], rules: Rules = DEFAULT_RULES
) -> Mapping[int, float]:
    """Hours served less hours entitled to, of each member, over all of `shifts`. Positive: served more than due."""
    differences: Mapping[int, int] = {member.id: 0 for member in members}
    for _, differences in running(members, shifts, time_off, rules):  # noqa: B007  the last one is wanted
        pass
    return {person: in_hours(seconds) for person, seconds in differences.items()}


def running_gap(
    members: Collection[Member], shifts: Iterable[Shift], time_off: Iterable[TimeOff], rules: Rules = DEFAULT_RULES
) -> float:
    """The widest that the differences of active members ever lay apart at the end of a block, in hours."""
    widest = 0
    for first, differences in running(members, shifts, time_off, rules):
        active = [differences[member.id] for member in members if member.active(first)]
        widest = max(widest, max(active, default=0) - min(active, default=0))
    return widest / HOUR_SECONDS


def in_hours(seconds: int) -> float:
    """Seconds as hours to show and to store, rounded to a hundredth."""
    return round(seconds / HOUR_SECONDS, 2)
