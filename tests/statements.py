"""What sources may say, built in one line each; heard in any order on one database, and what came of it told back."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from db import identities, people, user_data
from db.identities import Identity
from db.tables import webhook_events
from handlers.clerk import events as clerk_events
from handlers.clerk import importing as clerk_importing
from handlers.notion.directory import render_many
from handlers.people import importing as people_importing
from handlers.people.deriving import derive
from handlers.people.linking import NOTION, ROSTER, Ref, resolve
from handlers.people.recording import version, withdraw
from handlers.people.settling import person_key
from handlers.registry import Context, Message, Source
from handlers.slack import events as slack_events
from service.intake import accept

Json = dict[str, Any]

NOW = 1_790_000_000_000
TEAM = "T0ROLLCALL1"
ANN, BOB, CYD = "ann@example.com", "bob@example.com", "cyd@example.com"
CONTEXT = Context(admin_emails=frozenset({ANN}), sinks=frozenset({"notion", "slack"}))
CLERK = clerk_events.source(("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",))
SLACK = slack_events.source(("8f742231b10e8888abcd99yyyzzz85a5",))
HISTORY = ("name_history", "login_history")  # the one thing that may depend on arrival
COUNTED = ("session_count", "last_active")  # not a function of identities


@dataclass(frozen=True, slots=True)
class Event:
    """A webhook: the same `event_id` again is a redelivery."""

    source: Source
    event_id: str
    body: bytes

    def __repr__(self) -> str:
        return f"{self.event_id}: {self.body.decode()}"

    def hear(self, tx: Connection, now: int) -> None:
        message = self.source.parse(self.body, self.event_id)
        assert isinstance(message, Message)
        accept(tx, self.source, message, self.body, CONTEXT, now)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list or a file says: the roster, Notion's users, an import."""

    identity: Identity

    def hear(self, tx: Connection, now: int) -> None:
        recording = clerk_importing if self.identity.provider == "clerk" else people_importing
        recording.record_all(tx, [self.identity], CONTEXT, now)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A line taken out of the roster, a guest gone from Notion's list. Not a statement: its place in time matters."""

    ref: Ref

    def hear(self, tx: Connection, now: int) -> None:
        withdraw(tx, self.ref, CONTEXT, now)


Said = Event | Listed


def _event(source: Source, event_id: str, message: Json) -> Event:
    return Event(source, event_id, json.dumps(message).encode())


def clerk(
    event_id: str, who: str, email: str | None, at: int = 0, sent: int = 0, *, verified: bool = True, **data: Any
) -> Event:
    """Clerk says so of a user; `at` and `sent` are ms after NOW."""
    status = "verified" if verified else "unverified"
    address = {"id": "idn_1", "email_address": email, "verification": {"status": status}}
    user = {
        "id": who,
        "first_name": who.title(),
        "last_name": None,
        "primary_email_address_id": "idn_1" if email else None,
        "email_addresses": [address] if email else [],
        "created_at": NOW - 1_000,
        "updated_at": NOW + at,
    }
    return _event(CLERK, event_id, {"type": "user.updated", "timestamp": NOW + sent, "data": user | data})


def deleted(event_id: str, who: str, sent: int = 0) -> Event:
    return _event(CLERK, event_id, {"type": "user.deleted", "timestamp": NOW + sent, "data": {"id": who}})


def session(event_id: str, who: str, at: int = 0, kind: str = "created") -> Event:
    data = {"id": f"sess_{event_id}", "user_id": who, "created_at": NOW + at}
    return _event(CLERK, event_id, {"type": f"session.{kind}", "timestamp": NOW + at, "data": data})


def slack(
    event_id: str, who: str, email: str | None, at: int = 0, *, confirmed: bool | None = True, **changes: Any
) -> Event:
    """Slack says so of a member, `at` seconds after NOW; `confirmed` None: it does not say, as of deactivated ones."""
    user = {
        "id": who,
        "team_id": TEAM,
        "deleted": False,
        "profile": {"email": email, "real_name": f"~{who}~", "title": changes.pop("title", "")},
        "updated": NOW // 1000 + at,
        **({} if confirmed is None else {"is_email_confirmed": confirmed}),
        **changes,
    }
    stamp = f"{NOW // 1000 + at}.000100"
    inner = {"type": "user_change", "user": user, "event_ts": stamp}
    return _event(SLACK, event_id, {"type": "event_callback", "team_id": TEAM, "event_id": event_id, "event": inner})


def roster(email: str, *rotations: str, at: int = 0, name: str | None = None) -> Listed:
    data: Json = {"rotations": list(rotations), **({"name": name} if name else {})}
    stamp = version(NOW + at, 0, json.dumps(data).encode())
    return Listed(Identity(ROSTER, email, email, email_verified=True, version=stamp, data=data))


def notion(who: str, email: str | None, at: int = 0) -> Listed:
    stamp = version(NOW + at, 0, f"{who} {email}".encode())
    return Listed(Identity(NOTION, who, email, email_verified=email is not None, version=stamp, data={"name": who}))


def hear(tx: Connection, stream: Iterable[Said | Withdrawn]) -> None:
    for number, said in enumerate(stream):
        said.hear(tx, NOW + number)


def told(tx: Connection) -> Json:
    """Everything that must not depend on the order of arrival: people by Clerk id or address, never by row."""
    rows = people.load(tx, people.ids(tx))
    names = {user_id: row.clerk_id or row.email for user_id, row in rows.items()}
    assert len(set(names.values())) == len(rows)
    rotations = people.rotations(tx, CONTEXT.workspace_id, rows)
    pages = render_many(tx, [person_key(user_id) for user_id in rows])
    return {
        "people": {
            names[user_id]: (row, _data(tx, user_id), rotations.get(user_id, []), pages[person_key(user_id)])
            for user_id, row in rows.items()
        },
        "identities": {
            one.ref: (one.email, one.email_verified, one.version, one.data, one.live, names.get(one.user_id))
            for one in everyone(tx)
        },
    }


def derived_anew(tx: Connection, context: Context = CONTEXT) -> Json:
    """People as all identities together say, worked out in one go."""
    found = {}
    for group in resolve(everyone(tx)):
        derived = derive(group, context.admin_emails)
        found[derived.person.clerk_id or derived.person.email] = (
            derived.person,
            derived.data,
            sorted(derived.rotations),
        )
    return found


def standing(ending: Json) -> Json:
    """The part of `told` that follows from identities, to be held against `derived_anew`."""
    return {
        who: (row, {key: value for key, value in data.items() if key not in COUNTED}, rotations)
        for who, (row, data, rotations, _page) in ending["people"].items()
    }


def forgotten_events(tx: Connection) -> list[str]:
    """Events that still wait, though whom they wait for has been heard of."""
    known = {one.external_id for one in everyone(tx) if one.provider == CLERK.name}
    found = tx.execute(select(webhook_events.c.event_id, webhook_events.c.waiting_for))
    return [event_id for event_id, waiting_for in found if waiting_for in known]


def everyone(tx: Connection) -> list[Identity]:
    return [Identity(*row) for row in tx.execute(select(*identities.COLUMNS))]


def _data(tx: Connection, user_id: int) -> Json:
    return {key: value for key, value in user_data.load(tx, user_id).items() if key not in HISTORY}


GONE = {"confirmed": None, "deleted": True}

# Every trouble we know of, about nine accounts and five addresses.
STREAM: list[Said] = [
    # Two accounts swap their addresses; of one update there is a twin of the same moment.
    clerk("m01", "ann", ANN, 1),
    clerk("m02", "bob", BOB, 1),
    clerk("m03", "ann", BOB, 5),
    clerk("m04", "bob", ANN, 5),
    clerk("m05", "bob", ANN, 5, first_name="Robert"),
    clerk("m06", "ann", BOB, 5, sent=1, first_name="Anne", unsafe_metadata={"preferences": {"theme": "dark"}}),
    # An unverified claim on an address of somebody, verified for a while, and given up.
    clerk("m07", "eve", ANN, 9, verified=False),
    clerk("m08", "eve", CYD, 3),
    clerk("m09", "eve", ANN, 7, banned=True),
    # An account is deleted and made anew; its last update comes from anywhere.
    clerk("m10", "cyd", CYD, 1),
    clerk("m11", "cyd", CYD, 4, locked=True),
    deleted("m12", "cyd", 6),
    clerk("m13", "cyd_again", CYD, 8),
    session("m14", "cyd", 2),
    session("m15", "cyd_again", 9),
    # A roster address whose person moved on and was deleted, and one whose person was deleted in place.
    clerk("m16", "dan", "dan@example.com", 1),
    clerk("m17", "dan", "dan@example.org", 2),
    deleted("m18", "dan", 3),
    clerk("m19", "fay", "fay@example.com", 1),
    deleted("m20", "fay", 2),
    roster("dan@example.com", "AM", name="Dan of the Roster"),
    roster("fay@example.com", "PM"),
    roster(ANN, "Core", "PM"),
    roster(ANN, "AM", at=3),
    roster("only@example.com", "AM"),
    # Nobody's account: without an address, and one that is never created.
    clerk("m21", "gil", None, 1, public_metadata={"role": "admin"}),
    deleted("m22", "hal"),
    session("m23", "hal", 1),
    session("m24", "nobody", 1),
    # Sign-ins, some before their person.
    session("m25", "ann", 1),
    session("m26", "ann", 7),
    session("m27", "ann", 9, "ended"),
    session("m28", "bob", 4, "revoked"),
    # Slack: confirmed, deactivated without a word on that, confirmed for another address, forgotten, never confirmed.
    slack("Ev01", "U_ann", ANN, 1, title="Engineer", tz="Europe/Oslo"),
    slack("Ev02", "U_ann", ANN, 2, **GONE),
    slack("Ev03", "U_bob", BOB, 1),
    slack("Ev04", "U_bob", CYD, 2, confirmed=False),
    slack("Ev05", "U_bob", BOB, 3, **GONE),
    slack("Ev06", "U_cyd", CYD, 1),
    slack("Ev07", "U_cyd", CYD, 2, is_forgotten=True, **GONE),
    slack("Ev08", "U_eve", ANN, 3, confirmed=False),
    slack("Ev09", "U_two", ANN, 4, title="Contractor"),
    slack("Ev10", "U_dan", "dan@example.com", 1),
    slack("Ev11", "U_bot", ANN, 9, is_bot=True),
    slack("Ev12", "U_only", "only@example.com", 1, title="Caretaker"),
    slack("Ev13", "U_only", "only@example.com", 2, **GONE),
    # Notion.
    notion("n_ann", ANN),
    notion("n_ann", BOB, 4),
    notion("n_dan", "dan@example.com"),
    notion("n_two", ANN, 2),
]
