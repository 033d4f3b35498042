"""What each source last said of a person: one row per (provider, external id), the ground `users` is derived from."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, and_, bindparam, not_, select, union_all, update
from sqlalchemy.dialects.postgresql import insert

from db.statements import Changes, Statement
from db.tables import identities as t

CLAIMED_AT_ONCE = 4  # addresses one statement asks for: those there were and are, and their traces
NAMED_AT_ONCE = 2  # the address an identity has, and its trace


@dataclass(frozen=True, slots=True)
class Identity:
    """One row. `version` sorts as text; a newer statement of the same source compares greater."""

    provider: str
    external_id: str
    email: str | None
    email_verified: bool
    version: str
    data: dict[str, Any]
    deleted_at: int | None = None
    user_id: int | None = None

    @property
    def ref(self) -> tuple[str, str]:
        return self.provider, self.external_id

    @property
    def live(self) -> bool:
        return self.deleted_at is None


COLUMNS = (
    t.c.provider,
    t.c.external_id,
    t.c.email,
    t.c.email_verified,
    t.c.version,
    t.c.data,
    t.c.deleted_at,
    t.c.user_id,
)
CHANGING = tuple(column.name for column in COLUMNS[2:])
INDEXED = ("email", "deleted_at", "user_id")
ONE = Statement(
    select(*COLUMNS).where(t.c.provider == bindparam("provider"), t.c.external_id == bindparam("external_id"))
)
_claiming = t.c.email.in_([bindparam(f"email_{n}") for n in range(CLAIMED_AT_ONCE)])
CLAIMING = Statement(select(*COLUMNS).where(_claiming))
_named = and_(t.c.provider == bindparam("provider"), t.c.external_id == bindparam("external_id"))
AROUND = Statement(
    # One OR, or IN, says the same, but has SQLite build a table to look things up in.
    union_all(
        select(*COLUMNS).where(_named),
        *(select(*COLUMNS).where(t.c.email == bindparam(f"email_{n}"), not_(_named)) for n in range(NAMED_AT_ONCE)),
    )
)
OF_USER = Statement(select(*COLUMNS).where(t.c.user_id == bindparam("user_id")))
OF_PROVIDER = select(*COLUMNS).where(t.c.provider == bindparam("provider")).order_by(t.c.external_id)
IDS = Statement(select(t.c.external_id).where(t.c.provider == bindparam("provider")))
_put = insert(t)
PUT = Statement(
    _put.on_conflict_do_update(
        index_elements=[t.c.provider, t.c.external_id],
        set_={name: _put.excluded[name] for name in CHANGING},
    ),
    columns=[column.name for column in COLUMNS],
)
CHANGES = Changes(t, and_(t.c.provider == bindparam("of_provider"), t.c.external_id == bindparam("of_external_id")))
LINK = (
    update(t)
    .where(t.c.provider == bindparam("of_provider"), t.c.external_id == bindparam("of_external_id"))
    .values(user_id=bindparam("to_user_id"))
)
DROP = t.delete().where(t.c.provider == bindparam("provider"), t.c.external_id == bindparam("external_id"))


def get(tx: Connection, provider: str, external_id: str) -> Identity | None:
    row = ONE.first(tx, {"provider": provider, "external_id": external_id})
    return Identity(*row) if row else None


def claiming(tx: Connection, emails: Iterable[str]) -> list[Identity]:
    """Every identity that carries one of these addresses (or, for a tombstone, its trace)."""
    wanted = sorted(emails)
    found = []
    for start in range(0, len(wanted), CLAIMED_AT_ONCE):
        found += CLAIMING.rows(tx, _padded(wanted[start : start + CLAIMED_AT_ONCE], CLAIMED_AT_ONCE))
    return [Identity(*row) for row in found]


def around(tx: Connection, ref: tuple[str, str], emails: Iterable[str]) -> list[Identity]:
    """This identity, and every other that carries one of these (at most NAMED_AT_ONCE) addresses."""
    named = {"provider": ref[0], "external_id": ref[1]}
    return [Identity(*row) for row in AROUND.rows(tx, named | _padded(list(emails), NAMED_AT_ONCE))]


def _padded(emails: list[str], to: int) -> dict[str, str | None]:
    return {f"email_{n}": emails[n] if n < len(emails) else None for n in range(to)}


def of_user(tx: Connection, user_id: int) -> list[Identity]:
    return [Identity(*row) for row in OF_USER.rows(tx, {"user_id": user_id})]


def of_provider(tx: Connection, provider: str) -> list[Identity]:
    return [Identity(*row) for row in tx.execute(OF_PROVIDER, {"provider": provider})]


def ids_of(tx: Connection, provider: str) -> list[str]:
    """The external ids alone: a fraction of what reading the identities takes."""
    return [id_ for (id_,) in IDS.rows(tx, {"provider": provider})]


def put(tx: Connection, identity: Identity) -> None:
    """Store the whole row; the caller has made sure that it is the newest."""
    PUT.send(
        tx,
        {
            "provider": identity.provider,
            "external_id": identity.external_id,
            "email": identity.email,
            "email_verified": identity.email_verified,
            "version": identity.version,
            "data": identity.data,
            "deleted_at": identity.deleted_at,
            "user_id": identity.user_id,
        },
    )


def change(tx: Connection, before: Identity, after: Identity) -> None:
    """The row, which was `before`, becomes `after`; the caller has made sure that it is newer."""
    columns = tuple(name for name in CHANGING if name not in INDEXED or getattr(after, name) != getattr(before, name))
    values = {f"new_{name}": getattr(after, name) for name in columns}
    CHANGES.of(columns).send(tx, {**values, "of_provider": after.provider, "of_external_id": after.external_id})


def link(tx: Connection, ref: tuple[str, str], user_id: int | None) -> None:
    tx.execute(LINK, {"of_provider": ref[0], "of_external_id": ref[1], "to_user_id": user_id})


def drop(tx: Connection, ref: tuple[str, str]) -> None:
    tx.execute(DROP, {"provider": ref[0], "external_id": ref[1]})


def trace(email: str) -> str:
    """What a tombstone keeps of its address: enough to know it again, not to read it."""
    return "sha256:" + sha256(email.encode()).hexdigest()
