"""A situation with its schedule planned anew: what the planner decided, laid over what is there."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from db.oncall import Duty, Planned
from handlers.oncall.explaining import stored
from handlers.oncall.hours import instants
from handlers.oncall.model import Plan, Rotation, Shift, Slot
from handlers.oncall.planning import plan
from handlers.oncall.situation import Situation, remembered, with_country

FOREVER = 10_000  # days
BEYOND = timedelta(days=7)  # the planner finishes the block the horizon lies in


@dataclass(frozen=True, slots=True)
class Replanned:
    """`why`: of each slot that moved; `conflicts`: sentences about what people decided and what cannot work."""

    after: Situation
    why: dict[Slot, str]
    conflicts: tuple[str, ...] = ()


def replanned(before: Situation, *, keep: bool = False) -> Replanned:
    """Plan from today to the horizon. `keep`: whatever is planned and possible stays, outside the freeze window too."""
    days = before.settings.horizon_days
    horizon = before.today + timedelta(days=days)
    s = with_country(remembered(before), horizon + BEYOND)
    if not s.periods and not s.duties:
        return Replanned(s, {})
    rules = replace(s.rules, freeze_days=FOREVER) if keep else s.rules
    found = plan(s.members(), s.shifts(), s.time_off(), set(s.free_days()), (), s.today, horizon, rules)
    why = {move.slot: move.why for move in found.moved}
    conflicts = tuple(
        f"{one.slot.date} {one.slot.rotation}: {s.name(one.person)} {one.why}"
        for one in found.conflicts
        if not (one.slot in s.duties and s.begun(s.duties[one.slot]))
    )
    return Replanned(_laid_over(s, found), why, conflicts)


def run_id(s: Situation) -> str:
    """Names one run: when it was, and from what it started."""
    at = datetime.fromtimestamp(s.now / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%SZ}-{s.digest[:6]}"


def _laid_over(s: Situation, found: Plan) -> Situation:
    rotations = {rotation.name: rotation for rotation in s.rules.rotations}
    run = run_id(s)
    planned: dict[Slot, Duty | None] = {}
    for shift in found.assignments:
        held = s.duties.get(shift.slot)
        if held is not None and s.begun(held):
            continue
        row = _row(s, shift, held, rotations[shift.slot.rotation], found, run)
        if held is not None or row.ends_at > s.now:
            planned[shift.slot] = Duty(row, held.override if held and shift.override is not None else None)
    wanted = {shift.slot for shift in found.assignments}
    gone = {
        slot: None
        for slot, duty in s.duties.items()
        if slot.date <= found.until and slot not in wanted and not s.begun(duty)
    }
    return s.with_duties(planned | gone)


def _row(s: Situation, shift: Shift, held: Duty | None, rotation: Rotation, found: Plan, run: str) -> Planned:
    starts_at, ends_at = instants(shift.slot.date, rotation, s.settings.tz)
    person = s.people.get(shift.person) if shift.person is not None else None
    if held is not None and held.planned.user_id == shift.person:
        kept = replace(held.planned, starts_at=starts_at, ends_at=ends_at)
        return replace(kept, email=person.email, name=person.name) if person else kept
    reason = stored(found.reasons[shift.slot], s.members()) if shift.slot in found.reasons else {}
    return Planned(
        date=shift.slot.date,
        rotation=shift.slot.rotation,
        user_id=shift.person,
        email=person.email if person else None,
        name=s.name(shift.person) if shift.person is not None else None,
        starts_at=starts_at,
        ends_at=ends_at,
        run_id=run,
        pinned=False,
        reason=reason,
    )
