"""`rollcall import roster`: the roster's entries as identities, beside those of the platforms (S1.3)."""

from dataclasses import dataclass

from pydantic_core import to_json
from sqlalchemy import Connection

from db import identities, locks
from db.identities import Identity
from handlers.people.linking import ROSTER
from handlers.people.recording import record, version, withdraw
from handlers.people.roster import Entry
from handlers.registry import Context


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an import did. `retired`: addresses of people Clerk has deleted; they are kept, but are nobody."""

    added: int
    changed: int
    unchanged: int
    removed: int
    retired: int


def enroll(tx: Connection, entries: list[Entry], context: Context, now: int, *, replace: bool = False) -> Enrolled:
    """Take the roster in; with `replace`, forget whoever is not in it. All of it or nothing."""
    locks.hold_everybody(tx)
    held = {known.external_id: known for known in identities.of_provider(tx, ROSTER)}
    wanted = {entry.email: identity_of(entry, _later(held.get(entry.email), now)) for entry in entries}
    new = [said for email, said in wanted.items() if email not in held]
    changed = [said for email, said in wanted.items() if email in held and held[email].data != said.data]
    for said in (*new, *changed):
        record(tx, said, context, now)
    gone = sorted(held.keys() - wanted.keys()) if replace else []
    for email in gone:
        withdraw(tx, (ROSTER, email), context, now)
    after = {known.external_id: known for known in identities.of_provider(tx, ROSTER)}
    retired = sum(after[email].user_id is None for email in wanted)
    return Enrolled(len(new), len(changed), len(wanted) - len(new) - len(changed), len(gone), retired)


def roster(tx: Connection) -> list[Entry]:
    """The roster as it stands, for `--export`."""
    return [
        Entry(known.external_id, tuple(known.data["rotations"]), known.data.get("name"))
        for known in identities.of_provider(tx, ROSTER)
    ]


def _later(held: Identity | None, now: int) -> int:
    """This file is always news, also where the clock stands or was set back."""
    return max(now, int(held.version.partition("-")[0]) + 1) if held else now


def identity_of(entry: Entry, now: int) -> Identity:
    """What our own file says: its addresses count as verified, for an administrator wrote them."""
    data = {"rotations": list(entry.rotations), **({"name": entry.name} if entry.name else {})}
    stamp = version(now, 0, to_json(data))
    return Identity(ROSTER, entry.email, entry.email, email_verified=True, version=stamp, data=data)
