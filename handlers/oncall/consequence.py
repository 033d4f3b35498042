"""What a change would mean, before it is confirmed: who moves, and how the differences change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256

from db.oncall import Duty
from handlers.oncall.hours import local
from handlers.oncall.model import Slot
from handlers.oncall.situation import ONE_DAY, Situation
from handlers.oncall.standing import differences


@dataclass(frozen=True, slots=True)
class Move:
    """A slot that somebody else serves in the end, or at another time. None: nobody, or no slot any more."""

    slot: Slot
    before: int | None
    after: int | None
    before_name: str
    after_name: str
    why: str


@dataclass(frozen=True, slots=True)
class Span:
    """Moves of one rotation on days that follow each other, the same but for the day: how people read them."""

    first: date
    last: date
    move: Move

    @property
    def days(self) -> str:
        if self.first == self.last:
            return f"{self.first:%a} {self.first}"
        return f"{self.first:%a} {self.first} to {self.last:%a} {self.last}"

    def __str__(self) -> str:
        move = self.move
        return f"{self.days} {move.slot.rotation}: {move.before_name} → {move.after_name} ({move.why})"


def spans(moves: Iterable[Move]) -> list[Span]:
    """In the order of their first days. A day between that does not move, or moves otherwise, ends a span."""
    found: dict[object, list[Span]] = {}
    for move in sorted(moves, key=lambda move: move.slot):
        same = found.setdefault(replace(move, slot=Slot(date.min, move.slot.rotation)), [])
        day = move.slot.date
        if same and same[-1].last == day - ONE_DAY:
            same[-1] = Span(same[-1].first, day, move)
        else:
            same.append(Span(day, day, move))
    return sorted((span for same in found.values() for span in same), key=lambda span: span.first)


@dataclass(frozen=True, slots=True)
class Difference:
    """Hours served less hours entitled to, when the planned schedule is over: as it stands, and with the change."""

    person: int
    name: str
    before: float
    after: float

    def __str__(self) -> str:
        return f"{self.name}: {self.before:+.1f} h → {self.after:+.1f} h"


@dataclass(frozen=True, slots=True)
class Consequence:
    """`sentence`: what is asked, in words. `added`: slots planned for the first time; they move nobody.

    `unfilled`: slots nobody serves that somebody served before, or that are new.
    """

    sentence: str
    moves: tuple[Move, ...] = ()
    added: tuple[Move, ...] = ()
    differences: tuple[Difference, ...] = ()
    unfilled: tuple[Slot, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What `confirm` compares: equal when the same would happen as was shown."""
        return sha256(repr(self).encode()).hexdigest()[:32]

    def moved(self) -> set[int]:
        """Everybody whose shifts move."""
        return {person for move in self.moves for person in (move.before, move.after) if person is not None}


def compare(before: Situation, after: Situation, sentence: str, why: Mapping[Slot, str], other: str) -> Consequence:
    """The consequence of going from one situation to the other. `other`: why, where `why` does not say."""
    moves: list[Move] = []
    added: list[Move] = []
    for slot in sorted(before.duties.keys() | after.duties.keys()):
        old, new = before.duties.get(slot), after.duties.get(slot)
        if _same(old, new):
            continue
        move = Move(
            slot,
            old.final_id if old else None,
            new.final_id if new else None,
            _shown(before, old),
            _shown(after, new),
            why.get(slot, other),
        )
        (moves if old else added).append(move)
    changed = [move.slot for move in (*moves, *added)]
    unfilled = tuple(slot for slot in changed if slot in after.duties and after.duties[slot].final_id is None)
    return Consequence(sentence, tuple(moves), tuple(added), _differences(before, after), unfilled)


def _same(old: Duty | None, new: Duty | None) -> bool:
    if old is None or new is None:
        return old is new
    times = (old.planned.starts_at, old.planned.ends_at) == (new.planned.starts_at, new.planned.ends_at)
    return times and old.final_id == new.final_id


def _shown(s: Situation, duty: Duty | None) -> str:
    if duty is None:
        return "no shift"
    hours = [f"{local(at, s.settings.tz):%H:%M}" for at in (duty.planned.starts_at, duty.planned.ends_at)]
    return f"{duty.final_name or 'nobody'} {'–'.join(hours)}"  # noqa: RUF001 - a range of hours, as printed


def _differences(before: Situation, after: Situation) -> tuple[Difference, ...]:
    """Of everybody whose difference changes, counted over past and plan."""
    was, will_be = (differences(s, s.shifts()) for s in (before, after))
    found = [
        Difference(id_, after.name(id_), was.get(id_, 0.0), will_be.get(id_, 0.0))
        for id_ in sorted(was.keys() | will_be.keys())
    ]
    return tuple(one for one in found if one.before != one.after)
