"""What becomes of a swap that is asked for, or answered. Pure, as all that decides."""

from dataclasses import replace

from db.oncall_swaps import Swap
from handlers.oncall.decision import NEW, Change
from handlers.oncall.model import Slot
from handlers.oncall.refusal import Refusal
from handlers.oncall.requests import AnswerSwap, AskSwap
from handlers.oncall.situation import Situation
from handlers.oncall.slots import changeable, doubled, swapped


def asked(s: Situation, request: AskSwap) -> Change:
    slot = Slot(request.date, request.rotation)
    duty = changeable(s, slot)
    by = request.by if request.by is not None else duty.final_id
    if by is None or duty.final_id != by:
        raise Refusal(
            f"{slot.rotation} on {slot.date} is not yours but {duty.final_name or 'nobody'}'s: swap one of yours."
        )
    if request.other == by:
        raise Refusal("You cannot swap with yourself: name somebody else.")
    if any(Slot(open_.date, open_.rotation) == slot for open_ in s.swaps):
        raise Refusal(f"A swap of {slot.rotation} on {slot.date} is asked for already: cancel that one first.")
    swap = Swap(
        NEW,
        slot.date,
        slot.rotation,
        by,
        request.other_date,
        request.other_rotation,
        request.other,
        request.reason.strip(),
        "requested",
        s.now,
    )
    shown = swapped(s, swap)
    sentence = f"{s.name(by)} asks {s.name(request.other)} to take {slot.rotation} on {slot.date}"
    if swap.other_date:
        sentence += f" for {swap.other_rotation} on {swap.other_date}"
    after = replace(s, swaps=(*s.swaps, swap))
    return Change(after, sentence, "if they accept", shown=shown, asked=swap, warnings=doubled(shown, swap))


def answered(s: Situation, request: AnswerSwap) -> Change:
    swap = next((one for one in s.swaps if one.id == request.swap), None)
    if swap is None:
        raise Refusal(
            f"Swap {request.swap} is not open (any more): see the open ones with `/oncall me`"
            " or `rollcall oncall swap --list`."
        )
    who = swap.user_id if request.answer == "cancel" else swap.other_id
    if request.by is not None and request.by != who:
        raise Refusal(f"Only {s.name(who)} can {request.answer} this swap.")
    left = replace(s, swaps=tuple(one for one in s.swaps if one.id != swap.id))
    what = f"{swap.rotation} on {swap.date}"
    done = {"accept": "accepted", "decline": "declined", "cancel": "cancelled"}[request.answer]
    after = swapped(left, swap) if request.answer == "accept" else left
    sentence = f"The swap of {what} between {s.name(swap.user_id)} and {s.name(swap.other_id)} is {done}"
    warnings = doubled(after, swap) if request.answer == "accept" else ()
    return Change(after, sentence, "swapped", answered=(swap.id, done), warnings=warnings)


def lapsed(after: Situation) -> list[Swap]:
    """Open swaps that can no longer be made: a shift of theirs is over, or somebody else's."""
    return [swap for swap in after.swaps if not _holds(after, swap)]


def _holds(s: Situation, swap: Swap) -> bool:
    sides = [(swap.date, swap.rotation, swap.user_id)]
    if swap.other_date is not None and swap.other_rotation is not None:
        sides.append((swap.other_date, swap.other_rotation, swap.other_id))
    found = [(s.duties.get(Slot(day, rotation)), person) for day, rotation, person in sides]
    return all(duty is not None and not s.over(duty) and duty.final_id == person for duty, person in found)
