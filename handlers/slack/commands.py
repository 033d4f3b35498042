"""What each word after `/oncall` means: an answer, a change to be previewed, or a window to fill in.

The `@word` lines are the list of what can be typed. Everything here runs in a read and raises Refusal.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Connection

from handlers.oncall import asking, settings, words
from handlers.oncall.refusal import Refusal
from handlers.oncall.requests import AddTimeOff, AskSwap, LiftOverride, Override, RemoveTimeOff, Replan, Request
from handlers.registry import Context
from handlers.slack import blocks, showing, typed
from handlers.slack.callers import Caller, caller
from handlers.slack.home import page
from handlers.slack.swapping import offer
from handlers.slack.typed import Said

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Window:
    """A view to open."""

    view: Json


@dataclass(frozen=True, slots=True)
class Asked:
    """One command: who typed it, what, when (ms)."""

    context: Context
    caller: Caller
    said: Said
    now: int

    def day(self, tx: Connection, text: str) -> date:
        """A day of the workspace's calendar."""
        return words.day(text, settings.load(tx, self.context).today(self.now))


Answer = Json | Request | Window
Word = Callable[[Connection, Asked], Answer]


@dataclass(frozen=True, slots=True)
class Words:
    """The table of what can be typed, each with how to type it."""

    found: dict[str, tuple[Word, str]] = field(default_factory=dict)

    def __call__(self, name: str, usage: str) -> Callable[[Word], Word]:
        def register(word: Word) -> Word:
            self.found[name] = (word, usage)
            return word

        return register


word = Words()


def oncall(tx: Connection, context: Context, slack_id: str, text: str, now: int) -> Answer:
    """What `/oncall …` comes to. Raises Refusal."""
    said = typed.read(text)
    name = said.words[0].lower() if said.words else ""
    if name == "help":
        return blocks.ephemeral(showing.HELP)
    if name not in word.found:
        known = ", ".join(sorted(one for one in word.found if one))
        raise Refusal(f"I do not know /oncall {said.words[0][:80]}: write one of {known}; /oncall help explains them.")
    rest = Said(said.words[1:], said.reason, said.anyway)
    return word.found[name][0](tx, Asked(context, caller(tx, context, slack_id), rest, now))


def rollcall(tx: Connection, context: Context, slack_id: str, text: str) -> Json:
    """What `/rollcall` comes to: who I am. Raises Refusal."""
    if text.strip().lower() == "help":
        return blocks.ephemeral(showing.HELP)
    if text.strip():
        raise Refusal(f"I do not know /rollcall {typed.unescape(text.strip())}: write /rollcall, or /oncall help.")
    return blocks.ephemeral(showing.me(tx, caller(tx, context, slack_id)))


def usage(name: str) -> Refusal:
    return Refusal(f"Write it as {word.found[name][1]}")


@word("", "/oncall")
def who(tx: Connection, asked: Asked) -> Answer:
    return blocks.ephemeral(showing.now(tx, asked.context, asked.caller, asked.now))


@word("week", "/oncall week 2026-12-24, or /oncall week")
def week(tx: Connection, asked: Asked) -> Answer:
    if len(asked.said.words) > 1:
        raise usage("week")
    day = asked.day(tx, asked.said.words[0] if asked.said.words else "today")
    return blocks.ephemeral(showing.week(tx, asked.context, asked.caller, day))


@word("me", "/oncall me")
def me(tx: Connection, asked: Asked) -> Answer:
    if asked.said.words:
        raise usage("me")
    found = page(tx, asked.context, asked.caller, asked.now)
    return {"response_type": "ephemeral", "text": "Your shifts, swaps and balance", "blocks": found}


@word("why", "/oncall why friday PM, or /oncall why 2026-12-24 for the whole day.")
def why(tx: Connection, asked: Asked) -> Answer:
    if len(asked.said.words) not in (1, 2):
        raise usage("why")
    return blocks.ephemeral(showing.why(tx, asked.context, asked.caller, asked.said.words, asked.now))


@word("override", "/oncall override @ada today PM because of a dentist.")
def override(tx: Connection, asked: Asked) -> Answer:
    if len(asked.said.words) != 3:  # noqa: PLR2004 - a person, a day, a rotation
        raise usage("override")
    whom, day, rotation = asked.said.words
    return Override(
        by=asked.caller.id,
        date=asked.day(tx, day),
        rotation=words.rotation(rotation),
        person=typed.person(tx, asked.context, whom),
        reason=asked.said.reason,
    )


@word("lift", "/oncall lift today PM, to end an override.")
def lift(tx: Connection, asked: Asked) -> Answer:
    if len(asked.said.words) != 2:  # noqa: PLR2004 - a day, a rotation
        raise usage("lift")
    day, rotation = asked.said.words
    return LiftOverride(by=asked.caller.id, date=asked.day(tx, day), rotation=words.rotation(rotation))


@word(
    "swap",
    "/oncall swap friday PM with @ada for monday PM, or /oncall swap alone to choose in a window.",
)
def swap(tx: Connection, asked: Asked) -> Answer:
    match asked.said.words:
        case ():
            return Window(offer(tx, asked.context, asked.caller, asked.now))
        case (day, rotation, "with", whom):
            other: tuple[date | None, str | None] = None, None
        case (day, rotation, "with", whom, "for", other_day, other_rotation):
            other = asked.day(tx, other_day), words.rotation(other_rotation)
        case _:
            raise usage("swap")
    return AskSwap(
        by=asked.caller.id,
        date=asked.day(tx, day),
        rotation=words.rotation(rotation),
        other=typed.person(tx, asked.context, whom),
        other_date=other[0],
        other_rotation=other[1],
        reason=asked.said.reason,
    )


@word("off", "/oncall off 2026-12-24..2026-12-31, or one day.")
def off(tx: Connection, asked: Asked) -> Answer:
    if len(asked.said.words) != 1:
        raise usage("off")
    today = settings.load(tx, asked.context).today(asked.now)
    first, last = words.days(asked.said.words[0], today)
    person = asked.caller.id
    return AddTimeOff(
        by=person, person=person, first=first, last=last, reason=asked.said.reason, anyway=asked.said.anyway
    )


@word("back", "/oncall back 2026-12-24, a day of the time off that ends.")
def back(tx: Connection, asked: Asked) -> Answer:
    if len(asked.said.words) != 1:
        raise usage("back")
    day = asked.day(tx, asked.said.words[0])
    absences = [one for one, _ in asking.absences(tx, asked.context, asked.now) if one.user_id == asked.caller.id]
    found = next((one for one in absences if one.first <= day <= one.last), None)
    if found is None:
        known = ", ".join(f"{one.first}..{one.last}" for one in absences) or "none"
        raise Refusal(f"You are not away on {day}: your time off to come is {known}.")
    return RemoveTimeOff(by=asked.caller.id, absence=found.id)


@word("plan", "/oncall plan, or /oncall plan --anyway with too few people.")
def plan(_tx: Connection, asked: Asked) -> Answer:
    """For administrators, after the roster was changed; the clock plans daily."""
    if asked.said.words:
        raise usage("plan")
    return Replan(by=asked.caller.id, anyway=asked.said.anyway)
