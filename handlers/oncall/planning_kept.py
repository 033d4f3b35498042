"""What a new plan leaves as it is: the past, what people pinned or took over, and what is frozen and possible."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from handlers.oncall.model import Conflict, Rotation, Rules, Shift, Slot
from handlers.oncall.planning_rules import People, block_of


@dataclass(slots=True)
class Kept:
    """`fixed`: slots that stay. `causes`: why one planned before cannot. `conflicts`: stays, and does not work."""

    fixed: dict[Slot, Shift] = field(default_factory=dict)
    causes: dict[Slot, str] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Judge:
    people: People
    rotations: Mapping[str, Rotation]
    working: frozenset[Slot]
    touched: frozenset[tuple[date, str, int | None]]
    today: date
    rules: Rules

    def judge(self, shift: Shift, kept: Kept) -> None:
        """Put one stored shift where it belongs; one that is put nowhere may be planned anew."""
        slot = shift.slot
        if slot.date < self.today:
            kept.fixed[slot] = shift
        elif shift.pinned:
            self._pinned(shift, kept)
        elif slot not in self.working:
            kept.causes[slot] = "no working day" if slot.rotation in self.rotations else "no such rotation any more"
        elif shift.override is not None and not (absence := self._absence(shift.override, slot)):
            kept.fixed[slot] = shift
        elif shift.override is not None:
            self._own(replace(shift, override=None), kept, f"{self._name(shift.override)}, who took over: {absence}")
        else:
            self._own(shift, kept, None)

    def _own(self, shift: Shift, kept: Kept, cause: str | None) -> None:
        """Nobody stands in: whoever was planned keeps the slot, if they can and it is frozen or was arranged around."""
        slot, block = shift.slot, block_of(shift.slot.date, self.rules)
        if shift.person is None:
            return
        exclusion = self.people.exclusion(shift.person, self.rotations[slot.rotation], [slot.date])
        if exclusion:
            cause = "; ".join(filter(None, (cause, f"{self._name(shift.person)}: {exclusion}")))
        elif frozen(slot.date, self.today, self.rules) or (block, slot.rotation, shift.person) in self.touched:
            kept.fixed[slot] = shift
        if cause:
            kept.causes[slot] = cause

    def _pinned(self, shift: Shift, kept: Kept) -> None:
        """A pin stays, on leave or not: a person decided it. Only for somebody who is gone it means nothing."""
        slot, server = shift.slot, shift.server
        member = self.people.by_id.get(server) if server is not None else None
        if server is not None and not (member and member.active(slot.date)):
            kept.causes[slot] = f"{self._name(server)}: {self._absence(server, slot)}"
            return
        kept.fixed[slot] = shift
        if server is not None and (absence := self._absence(server, slot)):
            kept.conflicts.append(Conflict(slot, server, f"{self._name(server)}: {absence}, and the shift is pinned"))

    def _absence(self, person: int, slot: Slot) -> str | None:
        return self.people.absence(person, [slot.date])

    def _name(self, person: int) -> str:
        member = self.people.by_id.get(person)
        return member.name if member else f"person {person}"


def keep(rows: Iterable[Shift], people: People, working: frozenset[Slot], today: date, rules: Rules) -> Kept:
    """Decide of every stored shift whether it stays. `working`: the slots that are to be planned, from today on."""
    stored = sorted(rows, key=lambda shift: shift.slot)
    touched = {
        (block_of(shift.slot.date, rules), shift.slot.rotation, shift.person)
        for shift in stored
        if shift.override is not None
        and shift.slot.date >= today
        and not people.absence(shift.override, [shift.slot.date])
    }
    rotations = {rotation.name: rotation for rotation in rules.rotations}
    judge = _Judge(people, rotations, working, frozenset(touched), today, rules)
    kept = Kept()
    for shift in stored:
        judge.judge(shift, kept)
    return kept


def frozen(day: date, today: date, rules: Rules) -> bool:
    """Whether a day is inside the freeze window: a block that begins inside it is inside as a whole."""
    return block_of(day, rules) < today + timedelta(days=rules.freeze_days)
