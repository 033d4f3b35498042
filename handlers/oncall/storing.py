"""A decision made so: exactly the rows that differ, the marks of what they show elsewhere, and who is told."""

import structlog
from sqlalchemy import Connection

from db import oncall, oncall_holidays, oncall_members, oncall_swaps, outbox
from db.oncall import Duty
from db.oncall_holidays import COUNTRY
from db.oncall_swaps import Swap
from handlers.alerts import alert
from handlers.oncall import settings
from handlers.oncall.consequence import spans
from handlers.oncall.decision import NEW, Decision
from handlers.oncall.keys import CALENDAR, CHANGEOVER, SLACK, message_key, shift_key
from handlers.oncall.model import Slot
from handlers.oncall.refusal import Refusal
from handlers.oncall.replanning import run_id
from handlers.oncall.situation import Situation
from handlers.oncall.swapping import lapsed
from handlers.registry import Context
from handlers.schedule import CLOCK

log = structlog.get_logger()


def store(tx: Connection, context: Context, decision: Decision, now: int) -> None:
    """The caller has made sure that `decision.before` still is so."""
    before, after = decision.before, decision.after
    _store_slots(tx, context, decision)
    _store_people(tx, context, before, after, now)
    _store_days(tx, context, before, after, now)
    _store_swaps(tx, context, decision, now)
    changed = _changed(before, after)
    if CALENDAR in context.sinks:
        outbox.mark_many(tx, context.workspace_id, CALENDAR, [shift_key(slot) for slot in changed], now)
    if changed:
        outbox.mark(tx, context.workspace_id, (CLOCK,), CHANGEOVER, now)
    _tell(tx, context, decision, now)
    _alert(tx, context, decision, now)
    consequence = decision.consequence
    moved = 0 if decision.asked else len(consequence.moves)
    log.info(
        "oncall_changed",
        request=decision.request.kind,
        run=run_id(before),
        slots=len(changed),
        moved=moved,
        unfilled=len(consequence.unfilled),
    )


def _changed(before: Situation, after: Situation) -> list[Slot]:
    """Slots that show something else now: another person, override, name or time."""
    slots = sorted(before.duties.keys() | after.duties.keys())
    return [slot for slot in slots if _shows(before.duties.get(slot)) != _shows(after.duties.get(slot))]


def _shows(duty: Duty | None) -> object:
    if duty is None:
        return None
    row = duty.planned
    return (row.user_id, row.email, row.name, row.starts_at, row.ends_at, duty.override)


def _store_slots(tx: Connection, context: Context, decision: Decision) -> None:
    before, after = decision.before, decision.after
    # Nothing before may change: history begins with what is over, which after midnight a shift of yesterday is not yet.
    workspace_id, today = context.workspace_id, min([before.today, *(slot.date for slot in before.duties)])
    for duty in decision.history:
        oncall.keep(tx, workspace_id, duty)
    for slot in before.duties.keys() - after.duties.keys():
        oncall.drop(tx, workspace_id, slot.date, slot.rotation, today)
    held = before.duties
    rows = [
        duty.planned for slot, duty in after.duties.items() if slot not in held or held[slot].planned != duty.planned
    ]
    oncall.put(tx, workspace_id, rows, today)
    for slot, duty in after.duties.items():
        old = held[slot].override if slot in held else None
        if duty.override is None and old is not None:
            oncall.lift(tx, workspace_id, slot.date, slot.rotation, today)
        elif duty.override is not None and duty.override != old:
            oncall.override(tx, workspace_id, duty.override, today)


def _store_people(tx: Connection, context: Context, before: Situation, after: Situation, now: int) -> None:
    workspace_id = context.workspace_id
    kept = {(period.user_id, period.since) for period in after.periods}
    for period in before.periods:
        if (period.user_id, period.since) not in kept:
            oncall_members.drop_period(tx, workspace_id, period)
    oncall_members.put_periods(tx, workspace_id, [period for period in after.periods if period not in before.periods])
    left = {absence.id: absence for absence in after.absences}
    for absence in before.absences:
        if left.get(absence.id) != absence:
            oncall_members.remove_absence(tx, workspace_id, absence.id)
    for absence in after.absences:
        if absence not in before.absences:
            days = (absence.first, absence.last)
            oncall_members.add_absence(tx, workspace_id, absence.user_id, days, absence.reason, now)


def _store_days(tx: Connection, context: Context, before: Situation, after: Situation, now: int) -> None:
    for day in before.holidays.keys() - after.holidays.keys():
        oncall_holidays.remove(tx, context.workspace_id, day)
    new = [one for day, one in after.holidays.items() if before.holidays.get(day) != one]
    for one in new:
        if one.source != COUNTRY or one.date in before.holidays:
            oncall_holidays.put(tx, context.workspace_id, one)
    country = {one.date: one.name for one in new if one.source == COUNTRY}
    oncall_holidays.put_country(tx, context.workspace_id, country)
    if after.settings != before.settings:
        settings.store(tx, context, after.settings, now)


def _store_swaps(tx: Connection, context: Context, decision: Decision, now: int) -> None:
    if decision.asked is not None:
        assert decision.asked.id == NEW
        id_ = oncall_swaps.add(tx, context.workspace_id, decision.asked)
        if id_ is None:
            raise Refusal("A swap of this shift is asked for already: cancel that one first.")
        _message(tx, context, f"swap:{id_}", decision.asked.other_id, f"{decision.consequence.sentence}.", now)
    if decision.answered is not None:
        oncall_swaps.decide(tx, context.workspace_id, *decision.answered, now)
        swap = next(one for one in decision.before.swaps if one.id == decision.answered[0])
        told = swap.other_id if decision.answered[1] == "cancelled" else swap.user_id
        _message(tx, context, f"swap-answer:{swap.id}", told, f"{decision.consequence.sentence}.", now)
    for swap in lapsed(decision.after):
        _end_swap(tx, context, decision, swap, now)


def _end_swap(tx: Connection, context: Context, decision: Decision, swap: Swap, now: int) -> None:
    """Else it would stand in the way of a swap by whoever serves the shift now."""
    oncall_swaps.decide(tx, context.workspace_id, swap.id, "cancelled", now)
    if swap.date < decision.before.today:
        return  # nobody answered in time, and everybody knows
    name = decision.before.name
    what = f"{swap.rotation} on {swap.date} between {name(swap.user_id)} and {name(swap.other_id)}"
    text = f"The swap of {what} is cancelled: a shift of it moved, or is over."
    for person in (swap.user_id, swap.other_id):
        _message(tx, context, f"swap-end:{swap.id}", person, text, now)


def _tell(tx: Connection, context: Context, decision: Decision, now: int) -> None:
    """Exactly those whose shifts moved."""
    if decision.asked is not None:
        return  # nothing has moved yet
    consequence = decision.consequence
    for person in sorted(consequence.moved()):
        moves = [move for move in consequence.moves if person in (move.before, move.after)]
        text = "\n".join(["Your on-call shifts changed:", *(f"• {span}" for span in spans(moves))])
        _message(tx, context, run_id(decision.before), person, text, now)


def _message(tx: Connection, context: Context, occasion: str, person: int, text: str, now: int) -> None:
    """A message to one person; the Slack sink finds out where they are when it sends it."""
    if SLACK in context.sinks:
        payload = {"person": person, "text": text}
        outbox.post(tx, context.workspace_id, SLACK, message_key(occasion, person), payload, now)


def _alert(tx: Connection, context: Context, decision: Decision, now: int) -> None:
    unfilled = decision.consequence.unfilled
    if unfilled and decision.asked is None:
        named = ", ".join(f"{slot.rotation} on {slot.date}" for slot in unfilled[:5])
        more = f" and {len(unfilled) - 5} more" if len(unfilled) > 5 else ""  # noqa: PLR2004 - as many as fit a line
        text = f"Nobody is on call for {named}{more}: `rollcall oncall why` says why; override it with somebody."
        alert(tx, context, f"oncall-unfilled:{run_id(decision.before)}", text, now)
    for sentence in decision.conflicts:
        alert(tx, context, f"oncall-conflict:{sentence}", f"On call, {sentence}: `rollcall oncall why` says more.", now)
