"""The hard rules: who can serve what on which days, and how a turn is cut where nobody can serve all of it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from handlers.oncall.model import BlockLength, Member, Rotation, Rules, TimeOff


def block_of(day: date, rules: Rules) -> date:
    """The first day of the block that `day` is in: its Monday, or the day itself."""
    return day - timedelta(days=day.weekday()) if rules.block is BlockLength.WEEK else day


@dataclass(frozen=True, slots=True)
class Piece:
    """Days of one rotation in one block that one person serves. `able`: who could, by id; never empty.

    `seconds`: how long it is. `late`: it is the rotation that ends last, whose burden is balanced apart.
    """

    rotation: Rotation
    days: tuple[date, ...]
    able: frozenset[int]
    seconds: int
    late: bool = False


class People:
    """The members, and on which days each can serve what."""

    def __init__(self, members: Collection[Member], time_off: Iterable[TimeOff], rules: Rules) -> None:
        ends = [(rotation.start_seconds + rotation.seconds, rotation.name) for rotation in rules.rotations]
        self.late = max(ends)[1] if ends else None
        self.members = tuple(sorted(members, key=lambda member: member.id))
        self.by_id = {member.id: member for member in self.members}
        self._leave: defaultdict[int, list[TimeOff]] = defaultdict(list)
        for leave in sorted(time_off, key=lambda leave: (leave.first, leave.last)):
            self._leave[leave.person].append(leave)
        self._able: dict[tuple[Rotation, date], frozenset[int]] = {}

    def absence(self, person: int, days: Iterable[date]) -> str | None:
        """Why this person cannot be on call on one of these days, whatever the rotation; None: they can."""
        member = self.by_id.get(person)
        if member is None:
            return "no member any more"
        for day in days:
            if member.active_from and day < member.active_from:
                return f"not active before {member.active_from}"
            if member.active_until and day > member.active_until:
                return f"not active after {member.active_until}"
            for leave in self._leave.get(person, ()):
                if leave.first <= day <= leave.last:
                    return f"on leave {leave.first}..{leave.last}"
        return None

    def exclusion(self, person: int, rotation: Rotation, days: Iterable[date]) -> str | None:
        """Why this person cannot serve this rotation on all of these days; None: they can."""
        member = self.by_id.get(person)
        if member and not member.pools & rotation.pools:
            return f"not in a pool of {rotation.name} ({', '.join(sorted(rotation.pools))})"
        return self.absence(person, days)

    def able(self, rotation: Rotation, day: date) -> frozenset[int]:
        known = self._able.get((rotation, day))
        if known is None:
            can = (member.id for member in self.members if not self.exclusion(member.id, rotation, [day]))
            known = self._able[rotation, day] = frozenset(can)
        return known

    def pieces(self, rotation: Rotation, days: Sequence[date]) -> list[Piece]:
        """Cut `days` into as few pieces as possible that one person each can serve; days nobody can are left out.

        Taking the longest stretch from the front gives the fewest: one piece, unless nobody can serve all days.
        """
        pieces: list[Piece] = []
        seconds, late = rotation.seconds, rotation.name == self.late
        for day in days:
            today = self.able(rotation, day)
            joint = today & pieces[-1].able if pieces else frozenset()
            if joint:
                days_so_far = (*pieces[-1].days, day)
                pieces[-1] = Piece(rotation, days_so_far, joint, seconds * len(days_so_far), late)
            elif today:
                pieces.append(Piece(rotation, (day,), today, seconds, late))
        return pieces
