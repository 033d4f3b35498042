"""`rollcall erase`: somebody asks to be forgotten, whether they are known still or were deleted long ago.

A deletion by Clerk is final and leaves a tombstone. An erasure is our own doing: a source that still knows the
person says so again one day, and then they are back; only a deletion there prevents it.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from db import identities, locks, people, retention
from db.database import Database
from db.identities import Identity, trace
from handlers.people.forgetting import forget_events, forget_person
from handlers.people.linking import CLERK, NOTION, ROSTER, SLACK, Ref
from handlers.people.recording import withdraw
from handlers.people.settling import DIRECTORY, person_key
from handlers.registry import Context

SENDERS = (CLERK, SLACK)


@dataclass(frozen=True, slots=True)
class Traces:
    """Where somebody is found. `live`: the accounts a source has not said to be deleted."""

    user_id: int | None
    name: str | None
    emails: frozenset[str]
    refs: frozenset[Ref]
    live: frozenset[Ref]

    @property
    def needles(self) -> tuple[bytes, ...]:
        """What gives them away in a body of which nobody knows whom it is about."""
        ids = (external_id for provider, external_id in self.refs if provider != ROSTER)
        return tuple(sorted(one.encode() for one in (*ids, *self.emails)))


def find(tx: Connection, who: str) -> Traces | None:
    """By row id, address, or any platform's id; a deleted person by their id, or by the address they had last."""
    person = people.find(tx, who)
    found = identities.of_user(tx, person["id"]) if person else _by_id(tx, who.strip())
    emails = {email for one in found if (email := one.email) and "@" in email}
    if "@" in who:
        emails.add(who.strip().lower())
    user_id: int | None = person["id"] if person else None
    found += [
        one
        for one in identities.claiming(tx, {*emails, *map(trace, emails)})
        if one.user_id in (None, user_id) and one not in found
    ]
    refs = {one.ref for one in found}
    refs |= {(source, who.strip()) for source in SENDERS if retention.events_about(tx, source, who.strip())}
    if not refs:
        return None
    name = person["name"] if person else None
    live = frozenset(one.ref for one in found if one.live)
    return Traces(user_id, name, frozenset(emails), frozenset(refs), live)


def _by_id(tx: Connection, who: str) -> list[Identity]:
    return [one for provider in (CLERK, SLACK, NOTION, ROSTER) if (one := identities.get(tx, provider, who))]


async def erase(database: Database, traces: Traces, context: Context, now: int) -> int:
    """Forget them, a batch at a time and the person last: cut off, it is found by the same name and done again.

    Returns how many bodies were emptied.
    """
    total = 0
    while emptied := await database.write(forget_events, traces.refs, context, now):
        total += emptied
    total += await _forget_unnamed(database, traces.needles)
    return total + await database.write(_erase_person, traces, context, now)


async def _forget_unnamed(database: Database, needles: tuple[bytes, ...]) -> int:
    total = after = 0
    while bodies := await database.read(retention.unnamed, after):
        after = bodies[-1][0]
        ids = [id_ for id_, body in bodies if any(needle in body for needle in needles)]
        total += await database.write(retention.forget, ids)
    return total


def _erase_person(tx: Connection, traces: Traces, context: Context, now: int) -> int:
    locks.hold_everybody(tx)
    if traces.user_id is not None:
        forget_person(tx, traces.user_id, (DIRECTORY, person_key(traces.user_id)), context, now)
    for ref in sorted(traces.live, key=lambda ref: (ref[0] == CLERK, ref)):
        withdraw(tx, ref, context, now)
    return forget_events(tx, traces.refs, context, now)
