"""The commands of `rollcall oncall` that change the schedule: each shows what it means, and `--dry-run` only that."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from db.database import Database
from handlers.oncall import asking, settings, words
from handlers.oncall.consequence import Consequence, Span, spans
from handlers.oncall.desk import Desk
from handlers.oncall.requests import (
    AddTimeOff,
    AnswerSwap,
    AskSwap,
    LiftOverride,
    Override,
    RemoveTimeOff,
    Replan,
    Request,
)
from service.cli import session
from service.cli.console import AsJson, note, print_json, print_rows, say
from service.cli.exits import Misuse
from service.cli.oncall import CONTEXT, app, slot_of
from service.clock import now_ms
from service.context import context_of
from service.settings import Settings

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")]
Because = Annotated[str, typer.Option("--because", help="The reason, for whoever reads it later.")]
Anyway = Annotated[bool, typer.Option("--anyway", help="Even if a shift is left with nobody.")]
Make = Callable[[Connection, int], Request]

MOVES = {"days": "days", "rotation": "rotation", "before": "before", "after": "after", "why": "why"}
DIFFERENCES = {"name": "name", "before": "before (h)", "after": "after (h)"}
ABSENCE = {"id": "id", "name": "name", "first": "first day", "last": "last day", "reason": "reason"}
SWAP = {"id": "id", "shift": "shift", "of": "of", "to": "to", "in_return": "in return", "reason": "reason"}


@app.command()
def plan(anyway: Anyway = False, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Plan from today to the horizon; the service does it by itself every day. Keeps all within the freeze window."""
    change(lambda _tx, _now: Replan(anyway=anyway), dry_run=dry_run, as_json=as_json)


@app.command()
def override(
    day: Annotated[str, typer.Argument(help="2026-12-24, today, friday.")],
    rotation: Annotated[str, typer.Argument(help="AM, Core or PM.")],
    who: Annotated[str | None, typer.Argument(help="Who serves instead: an e-mail address, or any id.")] = None,
    because: Because = "",
    cancel: Annotated[bool, typer.Option("--cancel", help="Whoever was planned serves after all.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Have somebody else serve one shift."""
    if cancel == (who is not None):
        raise Misuse("name who serves instead, or --cancel")

    def make(tx: Connection, now: int) -> Request:
        slot = slot_of(tx, day, rotation, now)
        if who is None:
            return LiftOverride(date=slot.date, rotation=slot.rotation)
        return Override(
            date=slot.date, rotation=slot.rotation, person=words.person(tx, who), reason=words.reason(because)
        )

    change(make, dry_run=dry_run, as_json=as_json)


@app.command()
def swap(
    day: Annotated[str | None, typer.Argument(help="2026-12-24, today, friday.")] = None,
    rotation: Annotated[str | None, typer.Argument(help="AM, Core or PM.")] = None,
    other: Annotated[str | None, typer.Argument(help="Who is asked to take it: an e-mail address, or any id.")] = None,
    in_return: Annotated[
        tuple[str, str] | None, typer.Option("--for", metavar="DAY ROTATION", help="One of theirs in return.")
    ] = None,
    because: Because = "",
    accept: Annotated[int | None, typer.Option("--accept", help="Accept this request for the one asked.")] = None,
    decline: Annotated[int | None, typer.Option("--decline", help="Decline it for them.")] = None,
    cancel: Annotated[int | None, typer.Option("--cancel", help="Cancel it for whoever asked.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show open requests.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Ask somebody to take a shift, or answer such a request."""
    answers = {"accept": accept, "decline": decline, "cancel": cancel}
    given = [(answer, id_) for answer, id_ in answers.items() if id_ is not None]
    if len(given) + list_ + (day is not None) != 1 or (day is not None and (rotation is None or other is None)):
        raise Misuse("write DAY ROTATION OTHER, or one of --accept, --decline, --cancel and --list")
    if list_:
        _print_list(session.read(_swaps), SWAP, "No swap is asked for.", as_json)
        return

    def make(tx: Connection, now: int) -> Request:
        if given:
            return AnswerSwap.model_validate({"answer": given[0][0], "swap": given[0][1]})
        assert day is not None
        assert rotation is not None
        assert other is not None
        slot = slot_of(tx, day, rotation, now)
        theirs = slot_of(tx, *in_return, now) if in_return else None
        return AskSwap(
            date=slot.date,
            rotation=slot.rotation,
            other=words.person(tx, other),
            other_date=theirs.date if theirs else None,
            other_rotation=theirs.rotation if theirs else None,
            reason=words.reason(because),
        )

    change(make, dry_run=dry_run, as_json=as_json)


@app.command()
def off(
    who: Annotated[str | None, typer.Argument(help="An e-mail address, or any id.")] = None,
    days: Annotated[str | None, typer.Argument(help="2026-12-24..2026-12-31, or one day.")] = None,
    because: Because = "",
    anyway: Anyway = False,
    remove: Annotated[int | None, typer.Option("--remove", help="Take this time off back (see --list).")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show time off from today on.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Somebody is away: their shifts on these days go to others, and they earn nothing meanwhile."""
    if (days is not None) + (remove is not None) + list_ != 1 or (days is None) != (who is None):
        raise Misuse("write WHO DAYS, or one of --remove and --list")
    if list_:
        _print_list(session.read(_absences, now_ms()), ABSENCE, "Nobody is away.", as_json)
        return

    def make(tx: Connection, now: int) -> Request:
        if remove is not None:
            return RemoveTimeOff(absence=remove)
        assert who is not None
        assert days is not None
        first, last = words.days(days, settings.load(tx, CONTEXT).today(now))
        person = words.person(tx, who)
        return AddTimeOff(person=person, first=first, last=last, reason=words.reason(because), anyway=anyway)

    change(make, dry_run=dry_run, as_json=as_json)


def change(make: Make, *, dry_run: bool, as_json: bool) -> None:
    """Show what a request means, and do it unless `dry_run`. Refusal says why it cannot be."""
    now = now_ms()

    async def work(held: Settings, database: Database) -> Consequence:
        request = await database.read(make, now)
        desk = Desk(database, context_of(held))
        return await (desk.preview(request, now) if dry_run else desk.confirm(request, None, now))

    found = session.run(work)
    if as_json:
        print_json({**_plain(found), "done": not dry_run})
        return
    show_consequence(found)
    note("Nothing was changed (--dry-run)." if dry_run else "Done.")


def show_consequence(found: Consequence) -> None:
    """Who moves, how differences change, what is left with nobody."""
    say(f"{found.sentence}.")
    if found.moves:
        print_rows([_moved(span) for span in spans(found.moves)], MOVES, fold=("before", "after", "why"))
    if found.added:
        first, last = found.added[0].slot.date, found.added[-1].slot.date
        say(f"{len(found.added)} shifts are planned for the first time, {first} to {last}.")
    if found.differences and found.moves:
        print_rows([asdict(one) for one in found.differences], DIFFERENCES)
    for slot in found.unfilled:
        say(f"Nobody serves {slot.rotation} on {slot.date}.")
    for warning in found.warnings:
        note(warning)
    if not (found.moves or found.added):
        say("No shift moves.")


def _plain(found: Consequence) -> dict[str, Any]:
    """As JSON has it: a slot's day and rotation by name."""
    whole = asdict(found)
    for moves in ("moves", "added"):
        whole[moves] = [{**one["slot"]._asdict(), **_rest(one)} for one in whole[moves]]
    return {**whole, "unfilled": [slot._asdict() for slot in found.unfilled]}


def _rest(move: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in move.items() if key != "slot"}


def _moved(span: Span) -> dict[str, Any]:
    move = span.move
    return {
        "days": span.days,
        "rotation": move.slot.rotation,
        "before": move.before_name,
        "after": move.after_name,
        "why": move.why,
    }


def _print_list(rows: list[dict[str, Any]], columns: dict[str, str], nothing: str, as_json: bool) -> None:
    if as_json:
        print_json(rows)
    elif rows:
        print_rows(rows, columns, fold=("reason",))
    else:
        note(nothing)


def _absences(tx: Connection, now: int) -> list[dict[str, Any]]:
    return [
        {"id": one.id, "name": name, "first": one.first, "last": one.last, "reason": one.reason}
        for one, name in asking.absences(tx, CONTEXT, now)
    ]


def _swaps(tx: Connection) -> list[dict[str, Any]]:
    return [
        {
            "id": one.id,
            "shift": f"{one.date} {one.rotation}",
            "of": asking.name_of(tx, one.user_id),
            "to": asking.name_of(tx, one.other_id),
            "in_return": f"{one.other_date} {one.other_rotation}" if one.other_date else None,
            "reason": one.reason,
        }
        for one in asking.open_swaps(tx, CONTEXT)
    ]
