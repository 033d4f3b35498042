"""What somebody sees of their own, at home and after `/oncall me`: shifts, swaps to answer, time off and balance."""

from typing import Any

from sqlalchemy import Connection

from db import oncall_swaps, outbox, people
from db.oncall_swaps import Swap
from handlers.oncall import asking
from handlers.oncall.decision import Decision
from handlers.oncall.refusal import Refusal
from handlers.people.linking import SLACK
from handlers.registry import Context
from handlers.slack import blocks
from handlers.slack.callers import Caller, caller, hours
from handlers.slack.showing import escape

Json = dict[str, Any]

HOME = "home:"  # and a Slack user id: the mark of somebody's home page
SHIFTS = 10
SWAPS = 20
ANSWERS = {"swap_accept": "accept", "swap_decline": "decline", "swap_cancel": "cancel"}


def render(tx: Connection, context: Context, slack_id: str, now: int) -> Json:
    """The home page of a Slack account, somebody's or nobody's."""
    try:
        who = caller(tx, context, slack_id)
    except Refusal as nobody:
        return blocks.home([blocks.section(escape(str(nobody)))])
    hint = blocks.section("`/oncall help` says what you can type.")
    return blocks.home([*page(tx, context, who, now), hint])


def page(tx: Connection, context: Context, who: Caller, now: int) -> list[Json]:
    found = blocks.sections(_shifts(tx, context, who, now))
    swaps = asking.open_swaps(tx, context, who.id)
    if swaps:
        found.append(blocks.section("*Open swaps*"))
    for swap in swaps[:SWAPS]:
        found += _swap(tx, swap, who)
    return found + blocks.sections(_balance(tx, context, who, now))


def _shifts(tx: Connection, context: Context, who: Caller, now: int) -> list[str]:
    found = asking.shifts_of(tx, context, who.id, now, SHIFTS)
    lines = [f"• {hours(duty, who.zone)} {duty.planned.rotation}" for duty in found]
    return [f"*Your next shifts* (times in {who.zone.key})", *(lines or ["None is planned."])]


def _swap(tx: Connection, swap: Swap, who: Caller) -> list[Json]:
    mine = swap.user_id == who.id
    other = escape(asking.name_of(tx, swap.other_id if mine else swap.user_id))
    text = f"You ask {other}" if mine else f"{other} asks you"
    text += f" to take {swap.rotation} on {swap.date:%a %Y-%m-%d}"
    if swap.other_date is not None:
        text += f" for {swap.other_rotation} on {swap.other_date:%a %Y-%m-%d}"
    text += f": {escape(swap.reason)}" if swap.reason else ""
    value = str(swap.id)
    if mine:
        return [blocks.section(text), blocks.buttons(blocks.button("swap_cancel", "Cancel it", value))]
    accept = blocks.button("swap_accept", "Accept", value, "primary")
    return [blocks.section(text), blocks.buttons(accept, blocks.button("swap_decline", "Decline", value))]


def _balance(tx: Connection, context: Context, who: Caller, now: int) -> list[str]:
    mine = next((one for one in asking.balance(tx, context, now) if one.person == who.id), None)
    away = [one for one, _ in asking.absences(tx, context, now) if one.user_id == who.id]
    lines = [f"• {one.first}..{one.last} {escape(one.reason)}".rstrip() for one in away]
    found = ["*Your time off*", *lines] if lines else []
    if mine is None:
        return [*found, "You are in no rotation of this workspace."]
    return [
        *found,
        "*Your balance*",
        f"Hours served less hours due: {mine.difference:+.1f}.",
        f"Served: {mine.hours_served:g}. Planned: {mine.hours_planned:g}.",
    ]


def mark_homes(tx: Connection, context: Context, decision: Decision, by: str, now: int) -> None:
    """The home pages that a decision makes out of date: who asked, whose shifts moved, both sides of a swap."""
    concerned = decision.consequence.moved()
    if decision.asked is not None:
        concerned |= {decision.asked.other_id}
    if decision.answered is not None:
        swap = oncall_swaps.one(tx, context.workspace_id, decision.answered[0])
        concerned |= {swap.user_id, swap.other_id} if swap else set()
    rows = (people.get(tx, one) for one in concerned)
    accounts = {by} | {row.slack_user_id for row in rows if row and row.slack_user_id}
    for account in sorted(accounts):
        mark_home(tx, context, account, now)


def mark_home(tx: Connection, context: Context, slack_id: str, now: int) -> None:
    outbox.mark(tx, context.workspace_id, context.sinks & {SLACK}, f"{HOME}{slack_id}", now)
