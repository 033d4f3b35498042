"""How everybody stands: the running differences, with what earlier weeks add up to kept for the next question."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from handlers.oncall.fairness import in_hours, running
from handlers.oncall.model import Member, Rules, Shift, TimeOff
from handlers.oncall.planning_rules import block_of
from handlers.oncall.situation import Situation


def differences(s: Situation, shifts: Iterable[Shift]) -> Mapping[int, float]:
    """Hours served less hours entitled to, of every member, over these shifts."""
    start = block_of(s.today, s.rules)
    members, every = tuple(s.members()), tuple(shifts)
    earlier = tuple(one for one in every if one.slot.date < start)
    then = tuple(leave for leave in s.time_off() if leave.first < start)
    settled = _sum(members, earlier, then, s.rules)
    since = _running(members, [one for one in every if one.slot.date >= start], s.time_off(), s.rules)
    return {member.id: in_hours(settled.get(member.id, 0) + since.get(member.id, 0)) for member in members}


@lru_cache(maxsize=16)
def _sum(
    members: tuple[Member, ...], shifts: tuple[Shift, ...], time_off: tuple[TimeOff, ...], rules: Rules
) -> Mapping[int, int]:
    return _running(members, shifts, time_off, rules)


def _running(
    members: tuple[Member, ...], shifts: Iterable[Shift], time_off: Iterable[TimeOff], rules: Rules
) -> Mapping[int, int]:
    last: Mapping[int, int] = {}
    for _, seconds in running(members, shifts, time_off, rules):
        last = seconds
    return last
