"""Whose people a transaction may work on, while others run beside it (PostgreSQL; docs/decisions/0007).

A person follows from identities that share addresses. Whoever decides about some of them first holds the identity
that speaks and every address it had or has, until the transaction ends: nobody else can then read what is about to
be written. Whoever works on many people holds everybody. SQLite writes one transaction at a time: nothing to do.
"""

from collections.abc import Iterable
from hashlib import sha256

from sqlalchemy import Connection, Text, bindparam, text

from db.identities import trace
from db.statements import Statement, company

EVERYBODY = 0  # held by each transaction: shared with others that name what they hold, or alone
ALL_HELD = "everybody_held"  # in a connection's info, until its transaction ends

# The address an identity has now is looked up on the way: it is to be held too, and to be asked for in order.
# EVERYBODY first, then by number: two transactions never wait for each other crosswise by this statement.
HOLD = Statement(
    text(
        """
        SELECT CASE WHEN k = 0 THEN pg_advisory_xact_lock_shared(k)::text ELSE pg_advisory_xact_lock(k)::text END
        FROM (
          SELECT k FROM (
            SELECT unnest(CAST(:keys AS bigint[])) AS k
            UNION
            SELECT CAST(CAST('x' || CASE WHEN email LIKE 'sha256:%' THEN substr(email, 8, 16)
                        ELSE substr(encode(sha256(convert_to(email, 'UTF8')), 'hex'), 1, 16) END AS bit(64)) AS bigint)
            FROM identities WHERE provider = :provider AND external_id = :external_id AND email IS NOT NULL
          ) AS every
          ORDER BY k <> 0, k
        ) AS ordered
        """
    ).bindparams(bindparam("provider", type_=Text), bindparam("external_id", type_=Text))
)
HOLD_ALL = Statement(text("SELECT pg_advisory_xact_lock(CAST(:key AS bigint))::text"))


def hold(tx: Connection, ref: tuple[str, str], emails: Iterable[str | None] = ()) -> bool:
    """Wait until nobody else decides about this identity or these addresses (plain, or a tombstone's trace).

    False where there is nobody to wait for.
    """
    if tx.dialect.name == "sqlite" or ALL_HELD in tx.info:
        return False
    digests = [sha256("\0".join(ref).encode()).hexdigest(), *(_digest(email) for email in emails if email)]
    keys = [_key(digest) for digest in digests]
    if here := company(tx):
        here.hold(keys)  # what is named, not the address looked up on the way: who decides by that one names it too
    HOLD.send(tx, {"keys": [EVERYBODY, *keys], "provider": ref[0], "external_id": ref[1]})
    return True


def hold_everybody(tx: Connection) -> None:
    """Wait until nobody else decides about anybody."""
    if tx.dialect.name == "sqlite" or ALL_HELD in tx.info:
        return
    if here := company(tx):
        here.hold_all()
    HOLD_ALL.send(tx, {"key": EVERYBODY})
    tx.info[ALL_HELD] = True


def let_go(tx: Connection) -> None:
    """A new transaction begins on this connection, and holds nobody."""
    tx.info.pop(ALL_HELD, None)


def same_address(one: str | None, other: str | None) -> bool:
    """Whether holding one is holding the other."""
    return (one and _digest(one)) == (other and _digest(other))


def _digest(email: str) -> str:
    """Of an address, or of the one that a tombstone's trace stands for."""
    return (email if email.startswith("sha256:") else trace(email)).removeprefix("sha256:")


def _key(digest: str) -> int:
    """64 bits of it. Two names that share them wait for each other in vain, and that is all."""
    return int.from_bytes(bytes.fromhex(digest[:16]), signed=True)
