"""What becomes of a schedule from elsewhere: history that was missing, and pinned shifts to come. Pure."""

from dataclasses import replace
from datetime import date

from db.oncall import Duty, Override, Planned, Served
from db.oncall_members import Period
from handlers.oncall.hours import instants
from handlers.oncall.model import Slot
from handlers.oncall.refusal import BadLines, Refusal
from handlers.oncall.replanning import run_id
from handlers.oncall.requests import ImportSchedule, Line
from handlers.oncall.situation import Situation, remembered
from handlers.oncall.slots import serving, why_no_working_day

WHY = {"imported": True}  # the reason of a shift nobody here decided


def imported(s: Situation, request: ImportSchedule) -> tuple[Situation, tuple[Duty, ...], list[str]]:
    """The situation with the good lines, those of the past, and what is wrong with the others."""
    there = {Slot(one.date, one.rotation) for one in s.past} | {slot for slot in s.duties if slot.date < s.today}
    taken: dict[Slot, Duty | None] = {}
    complaints = []
    for line in request.lines:
        slot = Slot(line.date, line.rotation)
        try:
            taken[slot] = _duty(s, line, there)
        except Refusal as wrong:
            complaints.append(f"line {line.number}: {wrong}")
    if complaints and not request.skip_bad:
        raise BadLines(complaints)
    past = {slot: duty for slot, duty in taken.items() if duty and slot.date < s.today}
    after = remembered(s).with_duties({slot: duty for slot, duty in taken.items() if slot not in past})
    after = replace(after, past=tuple(sorted((*s.past, *map(_served, past.values())), key=_order)))
    return replace(after, periods=_since(after)), tuple(past.values()), complaints


def _duty(s: Situation, line: Line, there: set[Slot]) -> Duty:
    slot = Slot(line.date, line.rotation)
    if slot in there:
        raise Refusal(f"{slot.rotation} on {slot.date} is history already, which does not change: leave it out.")
    rotation = next(rotation for rotation in s.rules.rotations if rotation.name == line.rotation)
    name, email = line.name, line.email
    if slot.date >= s.today:
        wrong = why_no_working_day(s, slot)
        if wrong:
            raise Refusal(wrong)
        held = s.duties.get(slot)
        if held and s.begun(held):
            raise Refusal(f"{slot.rotation} on {slot.date} has begun: override it instead.")
        if line.person is not None:
            serving(s, line.person, slot)
    starts_at, ends_at = instants(slot.date, rotation, s.settings.tz)
    row = Planned(slot.date, slot.rotation, line.person, email, name, starts_at, ends_at, run_id(s), True, WHY)
    return Duty(row, _override(s, line))


def _override(s: Situation, line: Line) -> Override | None:
    if line.override is None or line.override == line.person:
        return None
    slot = Slot(line.date, line.rotation)
    if slot.date >= s.today:
        serving(s, line.override, slot)
    who = s.people.get(line.override)
    if who is None:
        raise Refusal(f"Whoever served {slot.rotation} on {slot.date} instead is in no rotation: write them as email.")
    return Override(slot.date, slot.rotation, who.id, who.email, who.name, line.reason or "imported", None, s.now)


def _served(duty: Duty) -> Served:
    row = duty.planned
    over = duty.override.user_id if duty.override else None
    return Served(row.date, row.rotation, row.user_id, over, row.pinned, row.starts_at, row.ends_at)


def _order(one: Served) -> tuple[date, str]:
    return one.date, one.rotation


def _since(s: Situation) -> tuple[Period, ...]:
    """Whoever served before we knew them was a member then: else all they served would count as too much."""
    first: dict[int, date] = {}
    last: dict[int, date] = {}
    pools: dict[int, set[str]] = {}
    for one in s.past:
        person = one.override_id if one.override_id is not None else one.user_id
        if person is not None:
            first[person] = min(one.date, first.get(person, one.date))
            last[person] = max(one.date, last.get(person, one.date))
            pools.setdefault(person, set()).add(one.rotation)
    found = []
    for period in s.periods:
        earlier = first.pop(period.user_id, None)
        found.append(replace(period, since=min(period.since, earlier)) if earlier else period)
    found += [Period(person, since, last[person], tuple(sorted(pools[person]))) for person, since in first.items()]
    return tuple(sorted(found, key=lambda period: (period.user_id, period.since)))
