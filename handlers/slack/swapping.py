"""`/oncall swap` in a window: choose a shift of yours and a colleague, then what to get in return."""

from datetime import date
from typing import Any

from sqlalchemy import Connection

from db.oncall import Duty
from handlers.oncall import asking, words
from handlers.oncall.model import Slot
from handlers.oncall.refusal import Refusal
from handlers.oncall.requests import AskSwap
from handlers.registry import Context
from handlers.slack import blocks
from handlers.slack.callers import Caller, hours
from handlers.slack.forms import View
from handlers.slack.typed import read_reason

Json = dict[str, Any]

OFFER, RETURN = "swap_offer", "swap_return"  # callback ids of both windows
NOTHING = "nothing"


def offer(tx: Connection, context: Context, who: Caller, now: int) -> Json:
    """The first window. Refusal for somebody without shifts."""
    mine = asking.shifts_of(tx, context, who.id, now)
    if not mine:
        raise Refusal("You have no shift to swap: /oncall week shows whose they are.")
    found = [
        blocks.choice("mine", "Your shift", [_option(duty, who) for duty in mine]),
        blocks.someone("other", "Who shall take it"),
        blocks.words("reason", "Why"),
    ]
    return blocks.window("Swap a shift", found, callback=OFFER, submit="Next")


def offered(tx: Connection, who: Caller, view: View) -> AskSwap:
    """What the first window says. Refusal for a colleague nobody knows."""
    values = view.state.values
    slot = slot_of(_chosen(values, "mine", "selected_option"))
    other = words.person(tx, str(values.get("other", {}).get("other", {}).get("selected_user") or ""))
    reason = read_reason(str(values.get("reason", {}).get("reason", {}).get("value") or ""))
    return AskSwap(by=who.id, date=slot.date, rotation=slot.rotation, other=other, reason=reason)


def in_return(tx: Connection, context: Context, who: Caller, asked: AskSwap, now: int) -> Json:
    """The second window: one of the colleague's shifts, or nothing."""
    theirs = asking.shifts_of(tx, context, asked.other, now, blocks.MOST_OPTIONS - 1)
    options = [blocks.option("Nothing in return", NOTHING), *(_option(duty, who) for duty in theirs)]
    found = [blocks.choice("theirs", "What you take in return", options)]
    return blocks.window("Swap a shift", found, callback=RETURN, submit="Next", kept=asked.model_dump(mode="json"))


def returned(view: View, asked: AskSwap) -> AskSwap:
    """The swap with what the second window adds."""
    value = _chosen(view.state.values, "theirs", "selected_option")
    if value == NOTHING:
        return asked
    slot = slot_of(value)
    return asked.model_copy(update={"other_date": slot.date, "other_rotation": slot.rotation})


def slot_of(value: str) -> Slot:
    day, _, rotation = value.partition(" ")
    return Slot(words.day(day, date.min), words.rotation(rotation))


def _option(duty: Duty, who: Caller) -> Json:
    slot = duty.planned
    return blocks.option(f"{hours(duty, who.zone)} {slot.rotation}", f"{slot.date.isoformat()} {slot.rotation}")


def _chosen(values: Json, name: str, kind: str) -> str:
    chosen = values.get(name, {}).get(name, {}).get(kind)
    value = chosen.get("value") if isinstance(chosen, dict) else None
    if not isinstance(value, str):
        raise Refusal("Choose a shift first.")
    return value
