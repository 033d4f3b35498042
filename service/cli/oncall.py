"""`rollcall oncall …`: look at the schedule and say why it is so; commands that change it are in oncall_change.py."""

from datetime import timedelta
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from db.oncall import Duty
from handlers.oncall import asking, settings, words
from handlers.oncall.hours import local
from handlers.oncall.model import Slot
from handlers.oncall.settings import OnCallSettings
from handlers.registry import Context
from service.cli import session
from service.cli.console import AsJson, heading, note, print_json, print_record, print_rows, say
from service.clock import now_ms

app = typer.Typer(no_args_is_help=True, help="On call: plan it, look at it, ask why, and change it.")

CONTEXT = Context(workspace_id=session.WORKSPACE)
SHIFT = {
    "date": "day",
    "rotation": "rotation",
    "hours": "hours",
    "on_call": "on call",
    "planned": "planned",
    "reason": "override",
}
BALANCE = {
    "name": "name",
    "difference": "difference (h)",
    "hours_served": "served (h)",
    "hours_planned": "planned (h)",
}


CANDIDATE = {
    "name": "could serve",
    "difference": "difference (h)",
    "doubles": "second shifts",
    "adjacent": "weeks in a row",
    "squares": "squares (h²)",
    "since": "weeks since",
    "late": "late (h)",
}


@app.command()
def show(
    day: Annotated[str, typer.Argument(help="A day of the week to show: 2026-12-24, today, friday.")] = "today",
    who: Annotated[str | None, typer.Option("--who", help="Only this person's shifts, from today on.")] = None,
    balance: Annotated[bool, typer.Option("--balance", help="How even it is: served less entitled to.")] = False,
    as_json: AsJson = False,
) -> None:
    """Who is on call now and next, and the week; or somebody's shifts; or everybody's balance."""
    if balance:
        _show_balance(as_json)
        return
    now = now_ms()
    found = session.read(_look, day, who, now)
    if as_json:
        print_json(found)
        return
    if who is None:
        say(f"now   {_named(found['now'])}")
        say(f"next  {_named(found['next'])}")
        say("")
    print_rows(found["shifts"], SHIFT, fold=("on_call", "planned", "reason"))
    note(f"{len(found['shifts'])} shifts; times in {found['zone']}.")


@app.command()
def why(
    day: Annotated[str, typer.Argument(help="2026-12-24, today, friday.")],
    rotation: Annotated[str | None, typer.Argument(help="AM, Core or PM; all of the day without.")] = None,
    as_json: AsJson = False,
) -> None:
    """Why a shift is whose it is: who else could have served it, and what kept the others out."""
    found = session.read(_explain, day, rotation, now_ms())
    if as_json:
        print_json(found)
        return
    for one in found:
        heading(f"{one['shift']['date']} {one['shift']['rotation']}: {one['shift']['on_call']}")
        print_record({key: value for key, value in one["shift"].items() if key not in ("date", "rotation")})
        if one["why"] is None:
            note("Imported, not decided here.")
            continue
        say(one["why"]["why"])
        if one["why"]["candidates"]:
            print_rows(one["why"]["candidates"], CANDIDATE)
        for out in one["why"]["excluded"]:
            say(f"{out['name']}: {out['why']}")


def shown(duty: Duty, chosen: OnCallSettings) -> dict[str, Any]:
    """A shift as people read it, in the workspace's time."""
    row = duty.planned
    hours = [f"{local(at, chosen.tz):%H:%M}" for at in (row.starts_at, row.ends_at)]
    return {
        "date": f"{row.date:%a} {row.date}",
        "rotation": row.rotation,
        "hours": "-".join(hours),
        "starts_at": local(row.starts_at, chosen.tz).isoformat(),
        "ends_at": local(row.ends_at, chosen.tz).isoformat(),
        "on_call": duty.final_name or "nobody",
        "email": duty.final_email,
        "planned": row.name or "nobody",
        "reason": duty.override.reason if duty.override else None,
        "pinned": row.pinned,
        "run": row.run_id,
    }


def _look(tx: Connection, day: str, who: str | None, now: int) -> dict[str, Any]:
    chosen = settings.load(tx, CONTEXT)
    if who is not None:
        duties = asking.shifts_of(tx, CONTEXT, words.person(tx, who), now)
        return {"zone": chosen.zone, "shifts": [shown(duty, chosen) for duty in duties]}
    on = asking.who(tx, CONTEXT, now)
    on_day = words.day(day, chosen.today(now))
    duties = asking.week(tx, CONTEXT, on_day)
    if day == "today" and all(duty.planned.ends_at <= now for duty in duties):
        duties = asking.week(tx, CONTEXT, on_day + timedelta(days=7))
    return {
        "zone": chosen.zone,
        "now": [shown(duty, chosen) for duty in on.on],
        "next": [shown(duty, chosen) for duty in on.next],
        "shifts": [shown(duty, chosen) for duty in duties],
    }


def _named(shifts: list[dict[str, Any]]) -> str:
    said = [f"{one['rotation']} {one['on_call']} ({one['date']} {one['hours']})" for one in shifts]
    return ", ".join(said) or "nobody"


def _show_balance(as_json: bool) -> None:
    found = session.read(asking.balance, CONTEXT, now_ms())
    if as_json:
        print_json(found)
        return
    print_rows([{key: getattr(one, key) for key in BALANCE} for one in found], BALANCE)
    note("difference: hours served less hours entitled to, up to yesterday.")


def _explain(tx: Connection, day: str, rotation: str | None, now: int) -> list[dict[str, Any]]:
    chosen = settings.load(tx, CONTEXT)
    which = words.rotation(rotation) if rotation else None
    found = asking.why(tx, CONTEXT, words.day(day, chosen.today(now)), which, now)
    return [{"shift": shown(one.duty, chosen), "why": one.reason.as_json() if one.reason else None} for one in found]


def slot_of(tx: Connection, day: str, rotation: str, now: int) -> Slot:
    """A day and a rotation as they were typed."""
    return Slot(words.day(day, settings.load(tx, CONTEXT).today(now)), words.rotation(rotation))
