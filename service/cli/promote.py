"""`rollcall promote`: from the SQLite file to PostgreSQL, verified table by table, all of it or nothing."""

import time
from typing import Annotated

import typer
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from db.database import Unavailable, database_file
from service import promotion
from service.cli import session
from service.cli.console import AsJson, note, print_json, print_rows, say
from service.cli.exits import Misuse, Problem
from service.promotion import Moved, NotPromoted

NEXT = (
    "Now: set DATABASE_URL to the new database, and start web and worker with it (the old service answers 503 only).",
    "Then `rollcall doctor`. Clerk and Slack send again what they were refused meanwhile.",
    "Keep the SQLite file until you are content: `rollcall promote --undo` opens it again, without what came since.",
)


def promote(
    to: Annotated[str | None, typer.Option(help="The new database: postgresql://user:password@host/name.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Open the SQLite file again instead.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move a SQLite installation to PostgreSQL. Webhooks are answered 503, and sent again, until the service is too."""
    settings = session.settings()
    if database_file(settings.database_url) is None:
        raise Misuse("DATABASE_URL names PostgreSQL already; this moves a SQLite installation there")
    session.must_exist(settings)
    if (to is None) is not undo:
        raise Misuse("say where to with --to URL, or --undo")
    if to is not None and database_file(to) is not None:
        raise Misuse("--to must name a PostgreSQL database: postgresql://user:password@host/name")
    question = "Move everything? From now on webhooks are refused (503)" if to else "Open the SQLite file again?"
    if not yes:
        typer.confirm(question, abort=True, err=True)
    began = time.perf_counter()
    moved = _go(settings.database_url, to)
    if to is None or moved is None:
        print_json({"undone": True}) if as_json else say("the SQLite file is open again")
        return
    seconds = round(time.perf_counter() - began, 2)
    if as_json:
        print_json({"to": make_url(to).render_as_string(), "rows": moved.rows, "seconds": seconds})
    else:
        rows = [{"table": name, "rows": count, "verified": "ok"} for name, count in moved.rows.items()]
        print_rows(rows, {"table": "table", "rows": "rows", "verified": "the same"})
        say(f"moved in {seconds} s")
    for line in NEXT:
        note(line)


def _go(url: str, to: str | None) -> Moved | None:
    try:
        if to is None:
            promotion.undo(url)
            return None
        return promotion.promote(url, to, lambda _table, _rows: None)
    except NotPromoted as error:
        raise Problem(str(error)) from None
    except DBAPIError as error:
        raise Unavailable.because(error) from error
