"""Single slots: whether one may still change, and what it is when somebody else serves it."""

from dataclasses import replace

from db.oncall import Duty, Override
from db.oncall_swaps import Swap
from handlers.oncall.model import Slot
from handlers.oncall.refusal import Refusal
from handlers.oncall.settings import DAYS, NAMES
from handlers.oncall.situation import Situation

IN_SLACK = " (in Slack: `/oncall plan`)"


def changeable(s: Situation, slot: Slot) -> Duty:
    """The slot as it stands, or a Refusal that says why nobody can be put on it."""
    duty = s.duties.get(slot)
    if s.over(duty) if duty else slot.date < s.today:
        raise Refusal(f"{slot.rotation} on {slot.date} is over: history does not change. Name a day from {s.today} on.")
    if duty is not None:
        return duty
    raise Refusal(why_no_shift(s, slot))


def why_no_shift(s: Situation, slot: Slot) -> str:
    """Why there is no such slot."""
    if slot.rotation not in NAMES:
        return f"{slot.rotation} is no rotation: write {', '.join(NAMES[:-1])} or {NAMES[-1]}."
    free = why_no_working_day(s, slot)
    if free:
        return free
    if not s.duties:
        return f"Nothing is planned yet: run `rollcall oncall plan` first{IN_SLACK}."
    last = max(day for day, _ in s.duties)
    if slot.date > last:
        return f"{slot.date} is not planned yet: the schedule goes to {last}. Name a day up to then."
    return f"There is no shift {slot.rotation} on {slot.date}: run `rollcall oncall plan`{IN_SLACK}."


def why_no_working_day(s: Situation, slot: Slot) -> str | None:
    """A holiday, or no day of the working week; None for a working day."""
    holiday = s.free_days().get(slot.date)
    if holiday:
        return f"{slot.date} is a holiday ({holiday}): nobody is on call. Name a working day."
    if slot.date.weekday() not in s.rules.working_days:
        return f"{slot.date} is a {slot.date:%A}: nobody is on call. Working days are {_days(s)}."
    return None


def with_server(s: Situation, duty: Duty, person: int, reason: str, by: int | None) -> Duty:
    """The slot with `person` on it; an override is not needed where they were planned anyway."""
    if duty.planned.user_id == person:
        return replace(duty, override=None)
    who = s.people[person]
    return replace(
        duty,
        override=Override(
            duty.planned.date, duty.planned.rotation, person, who.email, who.name, reason[:500], by, s.now
        ),
    )


def serving(s: Situation, person: int, slot: Slot) -> str:
    """The name of somebody who may serve a slot, or a Refusal that says why they may not."""
    if person not in s.people:
        raise Refusal(
            "They are not in this workspace, so they cannot be on call here: put them on the roster first"
            " (`rollcall import roster FILE`)."
        )
    who = s.people[person]
    if who.status != "active":
        raise Refusal(f"{who.name} is {who.status}, so they cannot be on call: name somebody else.")
    absence = s.away(person, slot.date)
    if absence:
        raise Refusal(
            f"{who.name} is away {absence.first}..{absence.last}: name somebody else, or remove that time off first."
        )
    return who.name


def twice(s: Situation, person: int, slot: Slot) -> tuple[str, ...]:
    """A warning where somebody would serve another rotation on that day too."""
    also = [other.rotation for other, duty in s.duties.items() if other.date == slot.date and duty.final_id == person]
    also = [rotation for rotation in also if rotation != slot.rotation]
    return (f"{s.name(person)} serves {' and '.join(also)} on that day too.",) if also else ()


def doubled(s: Situation, swap: Swap) -> tuple[str, ...]:
    """Warnings where a swap that is made has somebody serve another rotation on that day too."""
    found = twice(s, swap.other_id, Slot(swap.date, swap.rotation))
    if swap.other_date is not None and swap.other_rotation is not None:
        found += twice(s, swap.user_id, Slot(swap.other_date, swap.other_rotation))
    return found


def swapped(s: Situation, swap: Swap) -> Situation:
    """Both slots of a swap with the other person on them, or a Refusal: either may have changed since it was asked."""
    first = Slot(swap.date, swap.rotation)
    duty = changeable(s, first)
    serving(s, swap.other_id, first)
    if duty.final_id != swap.user_id:
        raise Refusal(f"{first.rotation} on {first.date} is not {s.name(swap.user_id)}'s any more: ask for a new swap.")
    reason = f"swap: {s.name(swap.user_id)} and {s.name(swap.other_id)}"
    changed: dict[Slot, Duty | None] = {first: with_server(s, duty, swap.other_id, reason, swap.user_id)}
    if swap.other_date is not None and swap.other_rotation is not None:
        second = Slot(swap.other_date, swap.other_rotation)
        theirs = changeable(s, second)
        serving(s, swap.user_id, second)
        if theirs.final_id != swap.other_id:
            raise Refusal(
                f"{second.rotation} on {second.date} is not {s.name(swap.other_id)}'s but"
                f" {theirs.final_name or 'nobody'}'s: name one of theirs."
            )
        changed[second] = with_server(s, theirs, swap.user_id, reason, swap.user_id)
    return s.with_duties(changed)


def _days(s: Situation) -> str:
    return ", ".join(DAYS[day] for day in sorted(s.rules.working_days))
