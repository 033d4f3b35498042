"""`rollcall actions`: the outbox, what is still out of date on the other side, and dead marks made due again."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer
from sqlalchemy import Connection

from db import limits, outbox, sync
from service.cli import session
from service.cli.console import LARGEST_ID, AsJson, heading, legible, note, print_json, print_record, print_rows, say
from service.cli.exits import Code, Misuse, Problem
from service.clock import now_ms

app = typer.Typer(
    no_args_is_help=True, help="What goes out to Slack and Notion: list it, look at one, retry dead ones."
)

Status = Literal["due", "leased", "settled", "dead"]
SinkName = Literal["notion", "slack", "clock"]
COLUMNS = {
    "id": "id",
    "marked_at": "marked",
    "sink": "sink",
    "key": "key",
    "status": "status",
    "attempts": "tries",
    "error": "error",
}
ATTEMPTS = {
    "at": "at",
    "generation": "gen.",
    "attempt": "try",
    "operation": "operation",
    "outcome": "outcome",
    "duration_ms": "ms",
    "error": "error",
}


@app.command("list")
def list_(
    status: Annotated[Status | None, typer.Option(help="Only marks in this state.")] = None,
    sink: Annotated[SinkName | None, typer.Option(help="Only marks for this platform, or the clock's jobs.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest marks, newest first."""
    rows = session.read(outbox.latest, status=status, sink=sink, most=limit)
    if as_json:
        print_json([legible(row) for row in rows])
        return
    print_rows([legible(row, short=True) for row in rows], COLUMNS, fold=("key", "error"))
    more = "; there may be more: --limit." if len(rows) == limit else "."
    note(f"{len(rows)} actions, the newest first{more}" if rows else "No actions.")


@app.command()
def show(
    action: Annotated[int, typer.Argument(metavar="ID", max=LARGEST_ID, help="Row id, as `actions list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """One mark, and the latest attempts to deliver it, newest first."""
    found = session.read(look, action)
    if found is None:
        raise Problem(f"there is no action {action}")
    mark, attempts = found
    if as_json:
        print_json({**legible(mark), "log": [legible(one) for one in attempts]})
        return
    print_record(legible(mark))
    heading("attempts")
    print_rows([legible(one, short=True) for one in attempts], ATTEMPTS, fold=("error",))
    if mark["status"] == "dead":
        note(f"Make it due again with `rollcall actions retry {mark['id']}`.")


@app.command()
def retry(
    actions: Annotated[list[int] | None, typer.Argument(metavar="ID", max=LARGEST_ID, help="Row ids.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Every dead mark.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make dead (or delayed) marks due now; the running service delivers them. Ends with 1 if one could not be."""
    if bool(actions) == dead:
        raise Misuse("name actions to retry, or --dead for all dead ones")
    done = session.write(make_due, actions, now_ms())
    gates = session.read(limits.all_gates)
    if as_json:
        print_json(done)
    elif done:
        print_rows(done, {"id": "id", "sink": "sink", "key": "key", "outcome": "outcome"}, fold=("key",))
    else:
        say("no action is dead")
    for sink in sorted({one["sink"] for one in done if one["outcome"] == "due"}):
        if sink in gates and (gates[sink].paused or gates[sink].off):
            note(f"{sink} is {'off' if gates[sink].off else 'paused'}: {gates[sink].reason}")
    if any(one["outcome"] != "due" for one in done):
        raise typer.Exit(Code.PROBLEM)


def look(tx: Connection, action: int) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """The mark and its attempts."""
    mark = outbox.detail(tx, action)
    if mark is None:
        return None
    attempts = sync.attempts_of(tx, mark["sink"], mark["key"])
    return dict(mark), [dict(one) for one in attempts]


def make_due(tx: Connection, ids: Sequence[int] | None, now: int) -> list[dict[str, Any]]:
    """Retry these marks (None: every dead one), and say for each what it is now."""
    if ids is None:
        ids = [row["id"] for row in outbox.latest(tx, status="dead", most=outbox.dead(tx))]
    done = []
    for id_ in ids:
        mark = outbox.detail(tx, id_)
        if mark is None:
            done.append({"id": id_, "sink": None, "key": None, "outcome": "unknown"})
            continue
        outcome = "due" if outbox.retry(tx, [id_], now) else f"left alone: it is {mark['status']}"
        done.append({"id": id_, "sink": mark["sink"], "key": mark["key"], "outcome": outcome})
    return done
