"""What becomes of a request: the situation after it, or a Refusal. Pure: nothing is read or written here."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from db.oncall_holidays import OWN, WORKED, Holiday
from db.oncall_members import Absence
from handlers.oncall import settings
from handlers.oncall.consequence import compare
from handlers.oncall.decision import NEW, Change, Decision
from handlers.oncall.imported import imported
from handlers.oncall.model import Slot
from handlers.oncall.refusal import Refusal
from handlers.oncall.replanning import replanned
from handlers.oncall.requests import (
    AddTimeOff,
    AnswerSwap,
    AskSwap,
    ChangeSettings,
    ImportSchedule,
    LiftOverride,
    Override,
    RemoveTimeOff,
    Replan,
    Request,
    SetHoliday,
    UnsetHoliday,
)
from handlers.oncall.situation import ONE_DAY, Situation
from handlers.oncall.slots import changeable, serving, twice, with_server
from handlers.oncall.swapping import answered, asked

SEVERAL = 5  # slots that are named in a sentence


def decide(s: Situation, request: Request) -> Decision:
    """Raises Refusal with a sentence for whoever asked."""
    _may_ask(s, request)
    change = DECIDERS[type(request)](s, request)
    consequence = compare(s, change.shown or change.after, change.sentence, change.why, change.other)
    consequence = replace(consequence, warnings=change.warnings)
    return Decision(
        request, s, change.after, consequence, change.conflicts, change.asked, change.answered, change.history
    )


def _may_ask(s: Situation, request: Request) -> None:
    """Members ask about shifts and for themselves; administrators, and operators (`by` None), about everything."""
    if request.by is None or request.by in s.admins:
        return
    if request.by not in s.people:
        raise Refusal("You are not in this workspace: ask an administrator to put you on the roster first.")
    if isinstance(request, ADMINISTRATORS_ONLY):
        raise Refusal("Only an administrator can change that: ask one of them.")
    if isinstance(request, AddTimeOff) and request.person != request.by:
        raise Refusal("Only an administrator can enter time off for somebody else: name yourself, or ask one of them.")
    own = [one.id for one in s.absences if one.user_id == request.by]
    if isinstance(request, RemoveTimeOff) and request.absence not in own:
        raise Refusal("That is not your time off: only an administrator can remove it.")


def _plan(s: Situation, request: Replan) -> Change:
    if not request.anyway:
        _enough_people(s)
    change = _replanned(s, "Plan the schedule anew", "planned")
    return replace(change, warnings=_still_unfilled(s, change.after))


def _still_unfilled(before: Situation, after: Situation) -> tuple[str, ...]:
    """Slots that nobody served before, and nobody does now: the consequence shows only what changes."""
    left = [slot for slot, duty in after.duties.items() if duty.final_id is None and slot in before.duties]
    left = [slot for slot in left if before.duties[slot].final_id is None]
    named = ", ".join(f"{slot.rotation} on {slot.date}" for slot in left[:SEVERAL])
    more = f" and {len(left) - SEVERAL} more" if len(left) > SEVERAL else ""
    return (f"Nobody serves {named}{more} either, as before: override them with somebody.",) if left else ()


def _enough_people(s: Situation) -> None:
    active = [person for person in s.people.values() if person.status == "active"]
    pools = {pool for person in active for pool in person.rotations}
    for rotation in s.rules.rotations:
        if not rotation.pools & pools:
            raise Refusal(
                f"Nobody is in rotation {rotation.name}: put people in with `rollcall import roster FILE`,"
                " or leave its slots empty with --anyway."
            )
    if len(active) < len(s.rules.rotations):
        raise Refusal(
            f"There are {len(active)} people for {len(s.rules.rotations)} rotations: somebody would serve two on a day."
            " Add people with `rollcall import roster FILE`, or plan it all the same with --anyway."
        )


def _replanned(wanted: Situation, sentence: str, other: str, *, keep: bool = False) -> Change:
    """`keep`: move only what this makes impossible; the daily run evens out the rest."""
    found = replanned(wanted, keep=keep)
    return Change(found.after, sentence, other, found.why, conflicts=found.conflicts)


def _override(s: Situation, request: Override) -> Change:
    slot = Slot(request.date, request.rotation)
    duty = changeable(s, slot)
    name = serving(s, request.person, slot)
    if duty.final_id == request.person:
        raise Refusal(f"{name} is on call for {slot.rotation} on {slot.date} already: name somebody else.")
    reason = request.reason.strip() or "no reason given"
    after = s.with_duties({slot: with_server(s, duty, request.person, reason, request.by)})
    sentence = f"{name} serves {slot.rotation} on {slot.date} instead of {duty.final_name or 'nobody'}"
    return Change(after, sentence, reason, warnings=twice(s, request.person, slot))


def _lift(s: Situation, request: LiftOverride) -> Change:
    slot = Slot(request.date, request.rotation)
    duty = changeable(s, slot)
    if duty.override is None:
        raise Refusal(
            f"{slot.rotation} on {slot.date} has no override: {duty.final_name or 'nobody'} serves as planned."
        )
    original = duty.planned.user_id
    if original is None or not s.able(original, slot.date):
        raise Refusal(
            f"{duty.planned.name or 'Nobody'} cannot serve {slot.rotation} on {slot.date} after all:"
            " override it with somebody else instead."
        )
    after = s.with_duties({slot: replace(duty, override=None)})
    sentence = f"{s.name(original)} serves {slot.rotation} on {slot.date} as planned, no more {duty.override.name}"
    return Change(after, sentence, "the override was cancelled", warnings=twice(s, original, slot))


def _time_off(s: Situation, request: AddTimeOff) -> Change:
    if request.person not in s.people:
        raise Refusal("They are not in this workspace: put them on the roster first (`rollcall import roster FILE`).")
    name = s.people[request.person].name
    if request.last < request.first:
        raise Refusal(f"{request.first}..{request.last} ends before it begins: write {request.last}..{request.first}.")
    if request.last < s.today:
        raise Refusal(f"{request.first}..{request.last} is past: time off can be added from {s.today} on.")
    if request.first < s.today:
        raise Refusal(
            f"{request.first}..{request.last} begins in the past, which does not change:"
            f" write {s.today}..{request.last}."
        )
    mine = (one for one in s.absences if one.user_id == request.person)
    overlap = next((one for one in mine if one.first <= request.last and request.first <= one.last), None)
    if overlap:
        raise Refusal(
            f"{name} is away {overlap.first}..{overlap.last} already: name only the days beside it,"
            f" or end that time off first: `/oncall back {overlap.first}`,"
            f" or `rollcall oncall off --remove {overlap.id}`."
        )
    absence = Absence(NEW, request.person, request.first, request.last, request.reason.strip())
    wanted = replace(s, absences=(*s.absences, absence))
    change = _replanned(wanted, f"{name} is away {request.first}..{request.last}", "planned anew", keep=True)
    if not request.anyway:
        _still_served(s, change.after, f"{name} is away then")
    return replace(change, warnings=_left_with(change.after, absence))


def _left_with(after: Situation, absence: Absence) -> tuple[str, ...]:
    """What has begun does not move by itself: nobody is on leave and on call unseen."""
    days = (absence.first, absence.last)
    left = [slot for slot, duty in after.duties.items() if duty.final_id == absence.user_id]
    return tuple(
        f"{slot.rotation} on {slot.date} has begun and stays with {after.name(absence.user_id)}:"
        " override it with somebody who can finish it."
        for slot in left
        if days[0] <= slot.date <= days[1]
    )


def _still_served(before: Situation, after: Situation, because: str) -> None:
    """Nobody leaves a slot empty without saying so."""
    for slot, duty in after.duties.items():
        held = before.duties.get(slot)
        if held and held.final_id is not None and duty.final_id is None:
            raise Refusal(
                f"Nobody could take {slot.rotation} on {slot.date} if {because}:"
                f" find somebody and override it first, or leave it unfilled with --anyway."
            )


def _back(s: Situation, request: RemoveTimeOff) -> Change:
    absence = next((one for one in s.absences if one.id == request.absence), None)
    if absence is None:
        raise Refusal(f"There is no time off {request.absence}: see `rollcall oncall off --list`.")
    if absence.last < s.today:
        raise Refusal(f"{absence.first}..{absence.last} is past: what was served then is history.")
    # Days that are past stay: what was earned then does not change.
    kept = replace(absence, last=s.today - ONE_DAY) if absence.first < s.today else None
    left = tuple(kept if one is absence else one for one in s.absences)
    after = replace(s, absences=tuple(one for one in left if one is not None))
    # What others took over stays theirs; what nobody could take is theirs again.
    return _replanned(after, f"{s.name(absence.user_id)} is back from {max(absence.first, s.today)}", "back", keep=True)


def _holiday(s: Situation, request: SetHoliday) -> Change:
    if request.date < s.today:
        raise Refusal(f"{request.date} is past: holidays can be set from {s.today} on.")
    if request.worked and request.date.weekday() not in s.rules.working_days:
        raise Refusal(
            f"{request.date} is a {request.date:%A}, which is not worked anyway: --worked is for holidays on working"
            " days. Working days are changed with `rollcall oncall settings working_days=…`."
        )
    one = Holiday(request.date, request.name, WORKED if request.worked else OWN)
    wanted = replace(s, holidays=dict(sorted({**s.holidays, request.date: one}.items())))
    what = "is worked" if request.worked else f"is a holiday ({request.name})"
    return _replanned(wanted, f"{request.date} {what}", f"{request.date} {what}", keep=True)


def _no_holiday(s: Situation, request: UnsetHoliday) -> Change:
    held = s.holidays.get(request.date)
    if held is None or held.source not in (OWN, WORKED):
        raise Refusal(f"The workspace said nothing of {request.date}: see `rollcall oncall holiday --list`.")
    wanted = replace(s, holidays={day: one for day, one in s.holidays.items() if day != request.date})
    return _replanned(wanted, f"{request.date} is as the country has it", "planned anew", keep=True)


def _settings(s: Situation, request: ChangeSettings) -> Change:
    wanted = replace(s, settings=settings.changed(s.settings, request.changes))
    named = ", ".join(f"{name} {value}" for name, value in request.changes.items())
    return _replanned(wanted, f"Settings become {named}", "the settings changed")


def _import(s: Situation, request: ImportSchedule) -> Change:
    after, history, complaints = imported(s, request)
    count = len(request.lines) - len(complaints)
    left_out = tuple(f"left out: {complaint}" for complaint in complaints)
    sentence = f"Take in {count} shifts, {len(history)} of them past"
    return Change(after, sentence, "imported", history=history, warnings=left_out)


ADMINISTRATORS_ONLY = (Replan, SetHoliday, UnsetHoliday, ChangeSettings, ImportSchedule)
Decider = Callable[[Situation, Any], Change]
DECIDERS: dict[type[Any], Decider] = {
    Replan: _plan,
    Override: _override,
    LiftOverride: _lift,
    AskSwap: asked,
    AnswerSwap: answered,
    AddTimeOff: _time_off,
    RemoveTimeOff: _back,
    SetHoliday: _holiday,
    UnsetHoliday: _no_holiday,
    ChangeSettings: _settings,
    ImportSchedule: _import,
}
