"""`rollcall people`: who is known, by any id the outside world uses, and why they are shown as they are."""

from typing import Annotated, Any, Literal

import typer
from sqlalchemy import Connection

from db import identities, outbox, people, sync, user_data
from db.identities import Identity
from handlers.people.linking import CLERK, NOTION, ROSTER, SLACK
from handlers.people.settling import DIRECTORY, person_key
from service.cli import session
from service.cli.console import LARGEST_ID, AsJson, heading, legible, note, print_json, print_record, print_rows
from service.cli.exits import Problem

app = typer.Typer(no_args_is_help=True, help="People: list them, or look at one and where each fact comes from.")

Rotation = Literal["AM", "Core", "PM"]
COLUMNS = {
    "id": "id",
    "name": "name",
    "email": "e-mail",
    "status": "status",
    "role": "role",
    "slack_user_id": "slack",
    "notion_person_id": "notion",
    "rotations": "rotations",
}
FOLDED = ("name", "email", "rotations")
IDENTITY = {
    "provider": "source",
    "external_id": "id",
    "email": "e-mail",
    "email_verified": "verified",
    "live": "live",
    "deleted_at": "deleted",
}


@app.command("list")
def list_(
    rotation: Annotated[Rotation | None, typer.Option(help="Only people in this rotation.")] = None,
    after: Annotated[int, typer.Option(min=0, max=LARGEST_ID, help="Only people whose row id is greater.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """People in the order of their row ids."""
    rows = session.read(page, rotation, after, limit)
    if as_json:
        print_json([legible(row) for row in rows])
        return
    print_rows(rows, COLUMNS, fold=FOLDED, cut=("notion_person_id",))
    more = f"; go on with --after {rows[-1]['id']}." if len(rows) == limit else "."
    note(f"{len(rows)} people{more}" if rows else "Nobody.")


@app.command()
def show(
    who: Annotated[str, typer.Argument(help="Row id, e-mail address, or a Clerk, Slack or Notion id.")],
    as_json: AsJson = False,
) -> None:
    """One person: the row, what each source says, the data kept, and the page in Notion."""
    found = session.read(look, who)
    if found is None:
        raise Problem(session.read(why_not, who))
    if as_json:
        print_json(found)
        return
    print_record({**found["person"], "rotations": found["rotations"]})
    heading("identities")
    print_rows(found["identities"], IDENTITY, fold=("external_id", "email"))
    heading("data")
    print_record(found["data"])
    heading("Notion page")
    print_record(found["page"])


def page(tx: Connection, rotation: str | None, after: int, most: int) -> list[dict[str, Any]]:
    """Rows of `users`, each with its rotations."""
    if rotation is None:
        rows = people.page(tx, after=after, most=most)
    else:
        rows = people.in_rotation(tx, session.WORKSPACE, rotation, after=after, most=most)
    rotations = people.rotations(tx, session.WORKSPACE, [row["id"] for row in rows])
    return [{**row, "rotations": rotations.get(row["id"], [])} for row in rows]


def look(tx: Connection, who: str) -> dict[str, Any] | None:
    """All that is known of one person, times as ISO."""
    row = people.find(tx, who)
    if row is None:
        return None
    user_id = row["id"]
    return {
        "person": legible(row),
        "rotations": people.rotations(tx, session.WORKSPACE, [user_id]).get(user_id, []),
        "identities": [_identity(one) for one in identities.of_user(tx, user_id)],
        "data": user_data.load(tx, user_id),
        "page": _page(tx, user_id),
    }


def why_not(tx: Connection, who: str) -> str:
    """What can be said of an id that leads to no person: it may be known, and linked to nobody."""
    for provider in (CLERK, SLACK, NOTION, ROSTER):
        known = identities.get(tx, provider, who)
        if known is None:
            continue
        if not known.live:
            return f"{provider} said that {who} was deleted"
        if not known.email:
            return f"{provider} knows {who}, who is linked to nobody: no address is known for them"
        if not known.email_verified:
            return f"{provider} knows {who}, who is linked to nobody: their address is not verified there"
        return f"{provider} knows {who}, who is linked to nobody: no person has the same verified address"
    return f"nobody is known as {who}"


def _identity(one: Identity) -> dict[str, Any]:
    return legible(
        {
            "provider": one.provider,
            "external_id": one.external_id,
            "email": one.email,
            "email_verified": one.email_verified,
            "live": one.live,
            "deleted_at": one.deleted_at,
            "data": one.data,
        }
    )


def _page(tx: Connection, user_id: int) -> dict[str, Any]:
    """What Notion is known to hold of them, and whether an update is on its way."""
    key = person_key(user_id)
    known = sync.known(tx, session.WORKSPACE, DIRECTORY, key)
    last = next(iter(sync.attempts_of(tx, DIRECTORY, key, 1)), None)
    return legible(
        {
            "page_id": known.remote_id,
            "hash": known.hash,
            "creating_since": known.creating_since,
            "pending": key in outbox.pending(tx, session.WORKSPACE, DIRECTORY),
            "last_attempt_at": last["at"] if last else None,
            "last_outcome": last["outcome"] if last else None,
            "last_error": last["error"] if last else None,
        }
    )
