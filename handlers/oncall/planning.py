"""Who is on call: decided from what is known, the same way every time, with the reason of every pick."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from handlers.oncall.fairness import entitlement
from handlers.oncall.model import (
    DEFAULT_RULES,
    HOUR_SECONDS,
    Member,
    Move,
    Plan,
    Reason,
    Rotation,
    Rules,
    Shift,
    Slot,
    TimeOff,
)
from handlers.oncall.planning_calendar import Calendar
from handlers.oncall.planning_kept import Kept, frozen, keep
from handlers.oncall.planning_reasons import Outlook, nobody, reason
from handlers.oncall.planning_rules import People, Piece, block_of
from handlers.oncall.planning_search import LOOKAHEAD, State, Turn, choose


def plan(
    members: Collection[Member],
    history: Iterable[Shift],
    time_off: Iterable[TimeOff],
    holidays: Collection[date],
    pinned: Iterable[Shift],
    today: date,
    horizon: date,
    rules: Rules = DEFAULT_RULES,
) -> Plan:
    """Plan every working day from `today` to the end of the block that contains `horizon`.

    `history`: every shift stored, past and future, with its override: what was served, and what was planned before.
    `pinned`: shifts that must stand, beside those pinned in `history` (for example a swap that is only considered).
    The order of no argument matters. Somebody in `history` who is no member keeps the past and gets nothing new.
    """
    people = People(members, time_off, rules)
    rows = {shift.slot: shift for shift in history}
    pins = {shift.slot: replace(shift, pinned=True) for shift in pinned if shift.slot.date >= today}
    calendar = Calendar({slot.date for slot in rows | pins}, holidays, today, horizon, rules)
    kept = keep((rows | pins).values(), people, calendar.slots, today, rules)
    decided = _decide(people, kept, rows, calendar)
    shifts = {slot: Shift(slot, why.chosen) for slot, why in decided.items()}
    shifts |= {slot: shift for slot, shift in kept.fixed.items() if today <= slot.date <= calendar.until}
    ordered = sorted(shifts, key=calendar.order)
    return Plan(
        until=calendar.until,
        assignments=tuple(shifts[slot] for slot in ordered),
        reasons=decided,
        moved=_moved(rows, shifts, kept, decided, calendar),
        unfilled=tuple(slot for slot in ordered if shifts[slot].server is None),
        conflicts=tuple(conflict for conflict in kept.conflicts if conflict.slot.date <= calendar.until),
    )


def _decide(people: People, kept: Kept, rows: Mapping[Slot, Shift], calendar: Calendar) -> dict[Slot, Reason]:
    """Walk through all blocks in the order of time, adding up what was served, and choose where something is open."""
    weeks = _weeks(people, kept, calendar)
    tolerance = calendar.rules.tolerance * HOUR_SECONDS**2
    reasons: dict[Slot, Reason] = {}
    state = State(0, dict.fromkeys(people.by_id, 0), {}, {})
    for number, week in enumerate(weeks):
        if week.first > calendar.last:
            break
        window = weeks[number : number + LOOKAHEAD + 1]
        planned = [_planned(piece, rows) for piece in week.turn.pieces]
        choices, stays = choose(state, [each.turn for each in window], planned, tolerance)
        outlook = Outlook(state, week.turn, choices, [each.first for each in window], planned if stays else ())
        for index, piece in enumerate(week.turn.pieces):
            why = reason(people, outlook, index, cut=week.cut(index))
            reasons.update((Slot(day, piece.rotation.name), why) for day in piece.days)
        reasons.update((Slot(day, rotation.name), nobody(people, rotation, day)) for rotation, day in week.unfilled)
        state = state.after(week.turn, choices[0])
    return reasons


def _planned(piece: Piece, rows: Mapping[Slot, Shift]) -> int | None:
    """Who had all of this piece by the last plan, if it was one person."""
    slots = [Slot(day, piece.rotation.name) for day in piece.days]
    people = {rows[slot].person if slot in rows else None for slot in slots}
    return people.pop() if len(people) == 1 else None


@dataclass(frozen=True, slots=True)
class _Week:
    """A block as the search takes it, the open slots nobody can serve, and how many pieces each rotation is in."""

    first: date
    turn: Turn
    unfilled: tuple[tuple[Rotation, date], ...]

    def cut(self, index: int) -> bool:
        """Whether this piece is only a part of what was open of its rotation."""
        name = self.turn.pieces[index].rotation.name
        others = [piece.rotation.name for at, piece in enumerate(self.turn.pieces) if at != index]
        return name in (*others, *(rotation.name for rotation, _ in self.unfilled))


def _weeks(people: People, kept: Kept, calendar: Calendar) -> list[_Week]:
    fixed: defaultdict[date, list[Shift]] = defaultdict(list)
    for shift in kept.fixed.values():
        fixed[block_of(shift.slot.date, calendar.rules)].append(shift)
    free: defaultdict[date, list[Slot]] = defaultdict(list)
    for slot in sorted(calendar.slots - kept.fixed.keys()):
        free[block_of(slot.date, calendar.rules)].append(slot)
    return [_week(people, first, fixed[first], free[first], calendar.rules) for first in calendar.blocks]


def _week(people: People, first: date, fixed: Sequence[Shift], free: Sequence[Slot], rules: Rules) -> _Week:
    rotations = {rotation.name: rotation for rotation in rules.rotations}
    open_days = {name: [slot.date for slot in free if slot.rotation == name] for name in rotations}
    pieces = {name: people.pieces(rotations[name], days) for name, days in open_days.items()}
    served, late = Counter[int](), Counter[int]()
    busy: defaultdict[int, set[date]] = defaultdict(set)
    filled = {name: {day for piece in pieces[name] for day in piece.days} for name in rotations}
    for day, name, server in ((*shift.slot, shift.server) for shift in fixed if shift.slot.rotation in rotations):
        if server is None:
            continue
        filled[name].add(day)
        if server in people.by_id:
            served[server] += rotations[name].seconds
            busy[server].add(day)
            late[server] += rotations[name].seconds if name == people.late else 0
    due = entitlement(people.pieces(rotations[name], sorted(days)) for name, days in filled.items())
    unfilled = [(rotations[name], day) for name, days in open_days.items() for day in days if day not in filled[name]]
    settled = {person: frozenset(days) for person, days in busy.items()}
    every = tuple(piece for name in rotations for piece in pieces[name])
    return _Week(first, Turn(every, served, due, settled, late), tuple(unfilled))


def _moved(
    rows: Mapping[Slot, Shift],
    shifts: Mapping[Slot, Shift],
    kept: Kept,
    reasons: Mapping[Slot, Reason],
    calendar: Calendar,
) -> tuple[Move, ...]:
    """Every stored slot that somebody else serves now, or nobody."""
    moves = []
    for slot in sorted(rows, key=calendar.order):
        before, after = rows[slot].server, shifts[slot].server if slot in shifts else None
        if before != after and calendar.today <= slot.date <= calendar.until:
            cause = kept.causes.get(slot) or _cause(before, reasons.get(slot))
            moves.append(Move(slot, before, after, cause, frozen(slot.date, calendar.today, calendar.rules)))
    return tuple(moves)


def _cause(before: int | None, reason: Reason | None) -> str:
    """Why a slot changed that alone could have stayed: the turn it is part of could not, or another is better."""
    if reason is None:
        return "pinned"
    excluded = (f"{exclusion.name}: {exclusion.why}" for exclusion in reason.excluded if exclusion.person == before)
    return next(excluded, f"planned anew: {reason.why}")
