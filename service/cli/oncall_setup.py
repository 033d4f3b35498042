"""The commands of `rollcall oncall` that set it up: settings, holidays, feeds, and schedules from and to files."""

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from handlers.oncall import asking, feeds, importing, settings, words
from handlers.oncall.refusal import BadLines
from handlers.oncall.requests import ChangeSettings, Request, SetHoliday, UnsetHoliday
from handlers.people import roster as rosters
from handlers.people.enrolling import enroll
from service.cli import session
from service.cli.console import LARGEST_ID, AsJson, legible, note, print_json, print_record, print_rows, say
from service.cli.exits import Misuse
from service.cli.files import read_text, write_text
from service.cli.oncall import CONTEXT, app
from service.cli.oncall_change import DryRun, change
from service.clock import now_ms
from service.context import context_of

FEED = {"id": "id", "name": "of", "created_at": "created", "revoked_at": "revoked"}
HOLIDAY = {"date": "day", "name": "name", "source": "from"}


@app.command("settings")
def settings_(
    changes: Annotated[list[str] | None, typer.Argument(help="NAME=VALUE, several; none shows them.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Hours, zone, working days, country and so on of this workspace. A change plans anew."""
    if not changes:
        found = session.read(settings.load, CONTEXT).model_dump(mode="json")
        print_json(found) if as_json else print_record(found)
        return
    pairs = [one.partition("=") for one in changes]
    if any(not (name and equals) for name, equals, _ in pairs):
        raise Misuse("write NAME=VALUE, such as zone=Europe/Berlin; several, with spaces between")
    wanted = {name.strip(): value.strip() for name, _, value in pairs}
    change(lambda _tx, _now: ChangeSettings(changes=wanted), dry_run=dry_run, as_json=as_json)


@app.command()
def holiday(
    day: Annotated[str | None, typer.Argument(help="2026-12-24, today, friday.")] = None,
    name: Annotated[str, typer.Option("--name", help="What it is called.")] = "Holiday",
    worked: Annotated[bool, typer.Option("--worked", help="A holiday of the country that is worked here.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Forget what this workspace said of the day.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show holidays from today on.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Days on which nobody is on call, beside those of the country (see `rollcall oncall settings`)."""
    if list_ == (day is not None):
        raise Misuse("name a day, or --list")
    if day is None:
        found = session.read(asking.holidays, CONTEXT, now_ms())
        rows = [{key: getattr(one, key) for key in HOLIDAY} for one in found]
        print_json(rows) if as_json else print_rows(rows, HOLIDAY)
        return

    def make(tx: Connection, now: int) -> Request:
        on = words.day(day, settings.load(tx, CONTEXT).today(now))
        return UnsetHoliday(date=on) if remove else SetHoliday(date=on, name=words.title(name), worked=worked)

    change(make, dry_run=dry_run, as_json=as_json)


@app.command()
def feed(
    who: Annotated[str | None, typer.Argument(help="Whose shifts: an e-mail address, or any id.")] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="All shifts of the workspace.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the feeds there are.")] = False,
    revoke: Annotated[
        int | None, typer.Option("--revoke", min=1, max=LARGEST_ID, help="End this feed (see --list).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """A calendar to subscribe to (iCal). Prints its path once: whoever has it can read it until it is revoked."""
    if (who is not None) + everybody + list_ + (revoke is not None) != 1:
        raise Misuse("name whose shifts, or one of --everybody, --list and --revoke")
    if list_:
        rows = [legible(row, short=True) for row in session.read(feeds.all_, CONTEXT)]
        shown = [{**row, "name": row["name"] if row["user_id"] else "everybody"} for row in rows]
        print_json(rows) if as_json else print_rows(shown, FEED)
    elif revoke is not None:
        session.write(feeds.revoke, CONTEXT, revoke, now_ms())
        print_json({"revoked": revoke}) if as_json else say(f"Feed {revoke} is revoked.")
    else:
        path = session.write(_issue, who, now_ms())
        print_json({"path": path}) if as_json else say(path)
        note("Shown this once. Put the address your users reach Rollcall at before it.")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV of shifts, or YAML of addresses by rotation.", metavar="FILE")],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good lines, leave the others out.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """An existing schedule: `date,rotation,email,override,reason`. Or who is in which rotation, as YAML."""
    if file.suffix.lower() in (".yaml", ".yml"):
        _import_roster(file, skip_bad=skip_bad, dry_run=dry_run, as_json=as_json)
        return
    if file.suffix.lower() != ".csv":
        raise Misuse(f"{file}: name it .csv (shifts) or .yaml (addresses by rotation), so that its format is known")
    text = read_text(file, "a schedule", importing.LONGEST)

    def make(tx: Connection, now: int) -> Request:
        found = importing.read(tx, CONTEXT, text, now)
        bad = found.complaints if skip_bad else importing.all_complaints(tx, CONTEXT, found, now)
        _must_be_good(list(bad), file, skip_bad=skip_bad)
        return found.request.model_copy(update={"skip_bad": skip_bad})

    try:
        change(make, dry_run=dry_run, as_json=as_json)
    except BadLines as bad:  # the schedule changed after the lines were looked at
        raise Misuse("\n".join([*bad.complaints, f"nothing was imported from {file}"])) from None


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write it, as CSV.", metavar="FILE")], as_json: AsJson = False
) -> None:
    """The whole schedule, past and planned, in the form `rollcall oncall import` takes."""
    text = session.read(importing.write, CONTEXT)
    write_text(file, text)
    shifts = text.count("\n") - 1
    print_json({"file": str(file), "shifts": shifts}) if as_json else say(f"{shifts} shifts in {file}")


def _import_roster(file: Path, *, skip_bad: bool, dry_run: bool, as_json: bool) -> None:
    entries, complaints = rosters.sift(read_text(file, "a roster", rosters.LONGEST), "yaml")
    if not entries:
        complaints = complaints or ["the file names nobody"]
    _must_be_good(complaints, file, skip_bad=skip_bad and bool(entries))
    found: dict[str, Any] = {"people": len(entries), "skipped": len(complaints)}
    if not dry_run:
        done = session.write(enroll, entries, context_of(session.settings()), now_ms())
        found |= {"added": done.added, "changed": done.changed, "unchanged": done.unchanged}
    print_json({**found, "done": not dry_run}) if as_json else print_record(found)
    note(
        "Nothing was changed (--dry-run)." if dry_run else "The service plans with them soon; or: rollcall oncall plan"
    )


def _must_be_good(complaints: list[str], file: Path, *, skip_bad: bool) -> None:
    if complaints and not skip_bad:
        raise Misuse("\n".join([*complaints, f"nothing was imported from {file}"]))
    for complaint in complaints:
        note(f"left out: {complaint}")


def _issue(tx: Connection, who: str | None, now: int) -> str:
    person = words.person(tx, who) if who is not None else None
    return f"/oncall/{feeds.issue(tx, CONTEXT, person, now)}.ics"
