"""What a source says of somebody, recorded: is it news, what identity follows, whose person may change (S1, S3).

Whatever the order and however often statements come, the end is the same: only the newest statement of a
source is kept, a tombstone is final, and people are a function of what is kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import IntEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from db import identities, locks, user_data
from db.identities import Identity, trace
from handlers.people import values
from handlers.people.forgetting import forget_deleted
from handlers.people.linking import CLERK, CONFIRMATION, ROSTER, SLACK, Ref
from handlers.people.settling import DIRECTORY, person_key, settle
from handlers.registry import Context


def version(updated_at: int, sent_at: int, body: bytes) -> str:
    """Sorts as text: the source's own time, then the envelope's, then the content, so that a tie has one winner."""
    return f"{updated_at:015d}-{sent_at:015d}-{sha256(body).hexdigest()[:16]}"


class Recorded(IntEnum):
    """What a statement was: overtaken by a newer one or by a deletion (false), the first of its identity, or newer."""

    STALE = 0
    FIRST = 1
    NEWER = 2


def record(tx: Connection, said: Identity, context: Context, now: int) -> Recorded:
    """Take a statement in."""
    locks.hold(tx, said.ref, (said.email,))
    near = _around(tx, said)
    old = near.get(said.ref)
    if old and old.email and not locks.same_address(old.email, said.email) and locks.hold(tx, old.ref, (old.email,)):
        near = _around(tx, said)  # it got that address while we waited; now nobody moves there any more
        old = near[said.ref]
    if old and not _is_news(tx, old, said, context, now):
        return Recorded.STALE
    if said.deleted_at is not None:
        said = _tombstone(said, old)
        page = (DIRECTORY, person_key(old.user_id)) if old and old.user_id else None
        forget_deleted(tx, said.ref, old, page, context, now)
    elif old:
        said = _with_confirmation(said, old.data)
    if old:
        said = replace(said, user_id=old.user_id)
        if old.email != said.email:
            near |= {identity.ref: identity for identity in _neighbours(tx, old, said)}
    near[said.ref] = said
    user_id = settle(tx, said, list(near.values()), context, now, old)
    if old and user_id is not None and said.provider == CLERK:
        _note_name_change(tx, user_id, old, said)
    return Recorded.NEWER if old else Recorded.FIRST


def _around(tx: Connection, said: Identity) -> dict[Ref, Identity]:
    return {one.ref: one for one in identities.around(tx, said.ref, _with_traces([said.email]))}


def rederive(tx: Connection, emails: Iterable[str], context: Context, now: int) -> None:
    """Work out the people with these addresses again: a setting they depend on has changed."""
    locks.hold_everybody(tx)
    for email in sorted(emails):
        settle(tx, None, identities.claiming(tx, {email, trace(email)}), context, now)


def withdraw(tx: Connection, ref: Ref, context: Context, now: int) -> None:
    """Forget a statement of our own file (the roster); unlike a deletion it may come back."""
    locks.hold_everybody(tx)
    old = identities.get(tx, *ref)
    if old is None:
        return
    near = [replace(i, deleted_at=now) if i.ref == ref else i for i in _neighbours(tx, old, old)]
    settle(tx, None, near, context, now)
    identities.drop(tx, ref)


def _is_news(tx: Connection, old: Identity, said: Identity, context: Context, now: int) -> bool:
    if said.deleted_at is not None:
        return old.live
    if old.live and said.version > old.version:
        return True
    told = _late_confirmation(old, said) if old.live else _late_claim(old, said)
    if told != old:
        near = {identity.ref: identity for identity in _neighbours(tx, old, said)}
        settle(tx, told, list((near | {told.ref: told}).values()), context, now, old)
    return False


def _tombstone(said: Identity, old: Identity | None) -> Identity:
    """Final. It keeps no personal data, but in Clerk the trace of the address it held last (see linking)."""
    kept = _trace_of(old) if old else None
    return replace(said, email=kept, version=old.version if old else "", data={}, email_verified=False)


def _late_claim(old: Identity, said: Identity) -> Identity:
    """A deleted person's late event still tells which address was theirs, in whatever order the two came."""
    if said.version <= old.version:
        return old
    return replace(old, email=_trace_of(said), version=said.version)


def _trace_of(last: Identity) -> str | None:
    return trace(last.email) if last.provider == CLERK and last.email and last.email_verified else None


def _with_confirmation(said: Identity, earlier: Mapping[str, Any]) -> Identity:
    """Slack leaves is_email_confirmed out of a deactivated user: the newest event that did say it still stands."""
    if said.provider != SLACK or CONFIRMATION in said.data or CONFIRMATION not in earlier:
        return said
    confirmation = earlier[CONFIRMATION]
    verified = said.email is not None and confirmation["email"] == said.email
    return replace(said, email_verified=verified, data={**said.data, CONFIRMATION: confirmation})


def _late_confirmation(old: Identity, said: Identity) -> Identity:
    """The same when the two come the other way round."""
    new = said.data.get(CONFIRMATION)
    known = old.data.get(CONFIRMATION)
    if not new or (known and known["version"] >= new["version"]):
        return old
    rest = {key: value for key, value in old.data.items() if key != CONFIRMATION}
    return _with_confirmation(replace(old, data=rest), said.data)


def _neighbours(tx: Connection, old: Identity | None, said: Identity) -> list[Identity]:
    """Everyone whose person may change: those who share the address there was or the one there is now."""
    addresses = {identity.email for identity in (old, said) if identity and identity.email}
    plain = {address for address in addresses if not address.startswith("sha256:")}
    if old and not old.live:
        # It may let go of the address it holds a trace of, and only a roster entry can have been kept from it.
        plain |= {address for address in identities.ids_of(tx, ROSTER) if trace(address) in addresses}
    return identities.claiming(tx, _with_traces(plain))


def _with_traces(addresses: Iterable[str | None]) -> set[str]:
    plain = {address for address in addresses if address}
    return plain | {trace(address) for address in plain}


def _note_name_change(tx: Connection, user_id: int, old: Identity, said: Identity) -> None:
    """name_history gains an entry only when a name really changed (S3.2)."""
    names = {key: said.data.get(key) or "" for key in ("first_name", "last_name")}
    if names == {key: old.data.get(key) or "" for key in names}:
        return
    entry = {**names, "timestamp": values.iso(said.data["updated_at"])}
    history = user_data.load(tx, user_id).get("name_history", [])
    values.store(tx, user_id, {"name_history": [*history, entry][-values.HISTORY_LIMIT :]})
