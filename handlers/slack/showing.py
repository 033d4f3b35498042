"""Answers to questions about the schedule, line by line, in Slack's markup and in the reader's zone."""

from collections.abc import Iterable
from datetime import date
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from db import people, sync, user_data
from db.oncall import Duty
from handlers.oncall import asking, settings, words
from handlers.oncall.asking import Explained
from handlers.oncall.consequence import Consequence, spans
from handlers.oncall.hours import local
from handlers.oncall.model import Reason
from handlers.people.linking import NOTION
from handlers.registry import Context
from handlers.slack.callers import Caller, hours

MOST_LINES = 30  # of one kind in a window; what is left out is counted

HELP = (
    "*What you can type*",
    "`/oncall` who is on call now, and who is next",
    "`/oncall week` this week; `/oncall week 2026-12-24` that one",
    "`/oncall me` your shifts, open swaps, your balance",
    "`/oncall why friday PM` why a shift is whose it is",
    "`/oncall override @ada today PM because of a dentist` somebody else serves",
    "`/oncall lift today PM` whoever was planned serves after all",
    "`/oncall swap` offer one of your shifts; or `/oncall swap friday PM with @ada for monday PM because of a party`",
    "`/oncall off 2026-12-24..2026-12-31` you are away; `/oncall back 2026-12-24` ends that",
    "`/oncall plan` administrators: plan anew, after the roster changed",
    "`/rollcall` who I think you are",
    "Days: 2026-12-24, today, tomorrow, friday. You see what would happen before you confirm it.",
)


def escape(text: str) -> str:
    """Plain text as Slack's markup shows it: nobody is called, nothing is a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(lines: Iterable[str]) -> list[str]:
    found = list(lines)
    left = len(found) - MOST_LINES
    return [*found[:MOST_LINES], f"… and {left} more"] if left > 0 else found


def now(tx: Connection, context: Context, caller: Caller, at: int) -> list[str]:
    """`/oncall`: who is on call, and who comes next."""
    found = asking.who(tx, context, at)
    on = [f"• {_who(duty)}, {hours(duty, caller.zone)}" for duty in found.on]
    following = [f"• {_who(duty)}, {hours(duty, caller.zone)}" for duty in found.next]
    lines = ["*On call now*", *on] if on else ["*Nobody is on call now.*"]
    lines += ["*Next*", *following] if following else ["Nothing is planned after that."]
    return [*lines, _zone(caller)]


def week(tx: Connection, context: Context, caller: Caller, day: date) -> list[str]:
    """`/oncall week`: every shift of the week that a day lies in."""
    found = asking.week(tx, context, day)
    if not found:
        return [f"Nothing is planned in the week of {day}."]
    lines = []
    for on, duties in groupby(found, key=lambda duty: duty.planned.date):
        lines.append(f"*{on:%a %Y-%m-%d}*")
        lines += [f"• {_on(on, hours(duty, caller.zone))} {_who(duty)}" for duty in duties]
    return [*lines, _zone(caller)]


def why(tx: Connection, context: Context, caller: Caller, said: tuple[str, ...], at: int) -> list[str]:
    """`/oncall why friday PM`. Raises Refusal."""
    day = words.day(said[0], settings.load(tx, context).today(at))
    rotation = words.rotation(said[1]) if len(said) > 1 else None
    lines = []
    for one in asking.why(tx, context, day, rotation, at):
        lines += [f"*{one.duty.planned.rotation}, {hours(one.duty, caller.zone)}*", *_explained(one)]
    return [*lines, _zone(caller)]


def _explained(one: Explained) -> list[str]:
    row, over = one.duty.planned, one.duty.override
    lines = [f"Planned for {escape(row.name or 'nobody')}."]
    if over:
        lines = [f"{escape(over.name)} instead of {escape(row.name or 'nobody')}: {escape(over.reason)}"]
    if one.reason is None:
        return [*lines, "It was imported, not decided here."]
    return lines + _reason(one.reason)


def _reason(reason: Reason) -> list[str]:
    lines = [escape(reason.why)]
    could = [
        f"{escape(one.name)} {one.difference:+.1f} h" + (", next to another turn" if one.adjacent else "")
        for one in reason.candidates
    ]
    if could:
        lines.append("Could serve (hours served less hours due): " + "; ".join(could))
    return lines + shortened(f"• {escape(one.name)}: {escape(one.why)}" for one in reason.excluded)


def me(tx: Connection, caller: Caller) -> list[str]:
    """`/rollcall`: who this account belongs to, and when each side last heard of them."""
    row: dict[str, Any] = people.find(tx, caller.slack_id) or {}
    data = user_data.load(tx, caller.id)
    lines = [f"*{escape(caller.name)}*, {escape(row.get('email') or 'no address')}, {row['role']}, {row['status']}"]
    linked = (("Clerk", "clerk_id"), ("Slack", "slack_user_id"), ("Notion", "notion_person_id"))
    lines += [f"• {name}: {row[column] or 'not linked'}" for name, column in linked]
    lines.append(f"• Last heard of from Clerk: {data.get('last_clerk_sync', 'never')}")
    attempts = sync.attempts_of(tx, NOTION, f"person:{caller.id}", 1)
    told = f"{hours_at(attempts[0]['at'], caller)}, {attempts[0]['outcome']}" if attempts else "never"
    return [*lines, f"• Last told to Notion: {told}", f"Your time zone is {caller.zone.key}."]


def hours_at(at: int, caller: Caller) -> str:
    """A moment (ms) on the caller's wall clock."""
    return f"{local(at, caller.zone):%Y-%m-%d %H:%M}"


def consequence(found: Consequence) -> list[str]:
    """Who moves, how the differences change, and what else to know before confirming."""
    lines = [f":warning: {escape(one)}" for one in found.warnings]
    if found.moves:
        lines += ["*Who moves*", *shortened(f"• {escape(str(span))}" for span in spans(found.moves))]
    else:
        lines.append("Nobody's shift moves.")
    if found.added:
        lines.append(f"{len(found.added)} shifts are planned for the first time.")
    if found.unfilled:
        named = ", ".join(f"{slot.rotation} on {slot.date}" for slot in found.unfilled[:MOST_LINES])
        lines.append(f":warning: Nobody would serve {named}.")
    if found.differences:
        lines.append("*Hours served less hours due, when the plan is over*")
        lines += shortened(f"• {escape(str(one))}" for one in found.differences)
    return lines


def _on(day: date, when: str) -> str:
    """The hours alone, unless it is another day where the reader is."""
    return when[15:] if when[4:14] == day.isoformat() else when


def _who(duty: Duty) -> str:
    row, over = duty.planned, duty.override
    if over is None:
        return f"{row.rotation}: {escape(row.name or 'nobody')}"
    return f"{row.rotation}: {escape(over.name)} (instead of {escape(row.name or 'nobody')}: {escape(over.reason)})"


def _zone(caller: Caller) -> str:
    return f"_Times in {caller.zone.key}._"
