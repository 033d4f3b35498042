"""`rollcall events`: the inbox, what became of each event, and failed ones run again."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import typer
from pydantic_core import from_json, to_json
from sqlalchemy import Connection

from db import inbox
from db.database import Database
from service.cli import session
from service.cli.console import AsJson, heading, legible, note, print_json, print_record, print_rows, printable, say
from service.cli.exits import Code, Misuse, Problem
from service.context import context_of
from service.intake import Intake
from service.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Webhooks that came in: list them, look at one, run failed ones again.")

Status = Literal["applied", "ignored", "stale", "waiting", "failed"]
Sender = Literal["clerk", "slack"]
EMPTIED = "emptied: it was older than KEEP_EVENT_BODIES_DAYS, or the person it was about is gone"
COLUMNS = {
    "id": "id",
    "received_at": "received",
    "source": "source",
    "type": "type",
    "status": "status",
    "attempts": "tries",
    "error": "note",
}


@app.command("list")
def list_(
    status: Annotated[Status | None, typer.Option(help="Only events that ended so.")] = None,
    source: Annotated[Sender | None, typer.Option(help="Only events from this platform.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest events, newest first."""
    rows = session.read(inbox.latest, status=status, source=source, most=limit)
    if as_json:
        print_json([legible(row) for row in rows])
        return
    print_rows([legible(row, short=True) for row in rows], COLUMNS, fold=("type", "error"))
    note(_count(len(rows), limit))


@app.command()
def show(
    event: Annotated[str, typer.Argument(metavar="ID", help="Row id, or the sender's event id.")],
    body: Annotated[bool, typer.Option("--body", help="Show the raw body too; it holds personal data.")] = False,
    as_json: AsJson = False,
) -> None:
    """One event: when it came, what became of it, and with --body what was sent."""
    row = session.read(inbox.detail, event)
    if row is None:
        raise Problem(f"there is no event {event}")
    raw: bytes = row["body"]
    record = {**legible(row), "body": f"{len(raw):,} bytes" if raw else EMPTIED}
    if as_json:
        print_json({**record, "body": _parsed(raw) if body else None, "body_bytes": len(raw)})
        return
    print_record(record)
    if body:
        heading("body")
        say(_pretty(raw) if raw else EMPTIED)
    if row["status"] == "failed":
        note(f"Run it again with `rollcall events replay {row['id']}`.")


@app.command()
def replay(
    events: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Row ids, or the senders' event ids.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every failed event, the oldest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run failed events again, and say what became of each. Ends with 1 if any failed again."""
    if bool(events) == failed:
        raise Misuse("name events to run again, or --failed for all of them")

    async def work(settings: Settings, database: Database) -> list["Replayed"]:
        names = await database.read(all_failed) if failed else list(events or ())
        return await run_again(settings, database, names)

    done = session.run(work)
    if as_json:
        print_json([asdict(one) for one in done])
    elif done:
        columns = {"id": "id", "source": "source", "event_id": "event", "outcome": "outcome", "note": "note"}
        print_rows([asdict(one) for one in done], columns, fold=("event_id", "note"))
    else:
        say("no event is failed")
    if any(one.outcome in ("failed", "unknown") for one in done):
        raise typer.Exit(Code.PROBLEM)


@app.command()
def dismiss(
    events: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Row ids, or the senders' event ids.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every failed event.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop minding failed events: they are kept, as ignored. Ends with 1 if one of them is not failed."""
    if bool(events) == every:
        raise Misuse("name events to dismiss, or --all for every failed one")

    def dismiss_all(tx: Connection) -> dict[str, bool]:
        found = {name: inbox.detail(tx, name) for name in (all_failed(tx) if every else events or ())}
        return {name: bool(row and inbox.dismiss(tx, row["id"])) for name, row in found.items()}

    done = session.write(dismiss_all)
    if as_json:
        print_json(done)
    else:
        for name, dismissed in done.items():
            say(f"{name}: {'dismissed' if dismissed else 'no such failed event'}")
        if not done:
            say("no event is failed")
    if not all(done.values()):
        raise typer.Exit(Code.PROBLEM)


@dataclass(frozen=True, slots=True)
class Replayed:
    """`outcome`: its status now; `unknown` where there is no such event."""

    id: int | None
    source: str | None
    event_id: str
    outcome: str
    note: str | None = None


async def run_again(settings: Settings, database: Database, names: Iterable[str]) -> list[Replayed]:
    """Run each of these events once more, one after the other."""
    from service import platforms  # noqa: PLC0415 - with every platform's library, which a look need not wait for

    intake = Intake(database, platforms.sources(settings), context_of(settings))
    return [await _run_one(intake, name) for name in names]


def all_failed(tx: Connection) -> list[str]:
    """Row ids of every failed event, the oldest first."""
    count = inbox.failed(tx)
    return [str(row["id"]) for row in reversed(inbox.latest(tx, status="failed", most=count))]


async def _run_one(intake: Intake, name: str) -> Replayed:
    row = await intake.database.read(inbox.detail, name)
    if row is None:
        return Replayed(None, None, name, "unknown", "there is no such event")
    if row["status"] != "failed":
        return _told(row, row["status"], "not failed, so not run again")
    stored = await intake.database.read(inbox.stored, row["id"])
    assert stored is not None
    await intake.run_again(stored)
    after = await intake.database.read(inbox.detail, str(row["id"])) or row
    return _told(after, after["status"], after["error"])


def _told(row: dict[str, Any], outcome: str, note: str | None) -> Replayed:
    return Replayed(row["id"], row["source"], row["event_id"], outcome, note)


def _parsed(raw: bytes) -> Any:
    """The body as JSON, or as text where it is none."""
    try:
        return from_json(raw)
    except ValueError:
        return raw.decode(errors="replace")


def _pretty(raw: bytes) -> str:
    parsed = _parsed(raw)
    return printable(parsed if isinstance(parsed, str) else to_json(parsed, indent=2).decode())


def _count(found: int, limit: int) -> str:
    if not found:
        return "No events."
    return f"{found} events, the newest first" + ("; there may be more: --limit." if found == limit else ".")
