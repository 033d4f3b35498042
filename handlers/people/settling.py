"""`users` made what identities say: who keeps which row, what it holds, which marks follow (S1.4, S3.1)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import Connection

from db import identities, outbox, people, user_data
from db.identities import Identity
from handlers.oncall.membership import alter, depart, rotate
from handlers.people import values
from handlers.people.deriving import DERIVED_KEYS, Derived, derive, shown
from handlers.people.linking import CLERK, ROSTER, Group, Ref, resolve
from handlers.registry import Context

log = structlog.get_logger()

DIRECTORY = "notion"  # the sink that shows people


def person_key(user_id: int) -> str:
    """The key of a person's mark, and of their page on the other side."""
    return f"person:{user_id}"


def settle(
    tx: Connection,
    said: Identity | None,
    near: list[Identity],
    context: Context,
    now: int,
    before: Identity | None = None,
) -> int | None:
    """Make `users` what these identities say; returns the person of the one that spoke. `before`: as it is stored."""
    groups = resolve(near)
    if said is not None and len(near) == len(groups) == 1 and said.provider == CLERK:
        return _settle_alone(tx, said, before, groups[0], context, now)
    owners = _keep_rows(groups)
    taken = {i.user_id for i in near if i.user_id and i.provider in (CLERK, ROSTER)}
    vacated = taken - set(owners.values())
    current = {user_id: row for user_id in owners.values() if user_id and (row := people.get(tx, user_id))}
    derived = {group.anchor.ref: derive(group, context.admin_emails) for group in groups}
    for user_id in vacated:
        depart(tx, user_id, _heir(user_id, groups, owners), context, now)
        people.remove(tx, user_id)
        outbox.mark(tx, context.workspace_id, _directory(context), person_key(user_id), now)
    if len(groups) > 1:
        _release_taken(tx, current, {owners[ref]: derived[ref] for ref in derived})
    on_roster = any(identity.provider == ROSTER for identity in near)
    links: dict[Ref, int] = {}
    for group in groups:
        ref = group.anchor.ref
        row = current.get(owners[ref] or 0)
        user_id = _write_person(tx, owners[ref], row, derived[ref], context, now)
        if on_roster:
            rotate(tx, user_id, derived[ref].rotations, context, now)
        links.update({member.ref: user_id for member in group.members})
    _link(tx, said, before, near, links)
    return links.get(said.ref) if said else None


def _settle_alone(
    tx: Connection, said: Identity, before: Identity | None, group: Group, context: Context, now: int
) -> int:
    """The same for one who shares an address with nobody, as nearly all do: nothing to hand over or to take."""
    row = people.get(tx, said.user_id) if said.user_id else None
    user_id = _write_person(tx, said.user_id, row, derive(group, context.admin_emails), context, now)
    _keep(tx, replace(said, user_id=user_id), before)
    return user_id


def _directory(context: Context) -> Iterable[str]:
    return (DIRECTORY,) if DIRECTORY in context.sinks else ()


def _keep_rows(groups: list[Group]) -> dict[Ref, int | None]:
    """Which `users` row each person keeps. Clerk's first; a newcomer takes over the row of a roster entry it joins."""
    kept: dict[Ref, int | None] = {}
    for group in sorted(groups, key=lambda group: group.anchor.provider != CLERK):
        own = (group.anchor, *(member for member in group.joined if member.provider == ROSTER))
        free = (member.user_id for member in own if member.user_id and member.user_id not in kept.values())
        kept[group.anchor.ref] = next(free, None)
    return kept


def _heir(user_id: int, groups: list[Group], owners: dict[Ref, int | None]) -> int | None:
    """Who goes on for a row that is given up because two turned out to be one person."""
    own = (CLERK, ROSTER)
    ours = (g for g in groups if any(m.user_id == user_id and m.provider in own for m in g.members))
    return next((owners[group.anchor.ref] for group in ours), None)


def _release_taken(tx: Connection, current: dict[int, people.Person], wanted: dict[int | None, Derived]) -> None:
    """Two people may swap a unique value: whoever loses one lets go before anybody takes."""
    for user_id, person in current.items():
        for column in people.UNIQUE:
            held = getattr(person, column)
            if held is not None and getattr(wanted[user_id].person, column) != held:
                people.release(tx, user_id, column)


def _write_person(
    tx: Connection, user_id: int | None, row: people.Person | None, wanted: Derived, context: Context, now: int
) -> int:
    if user_id is None:
        user_id = people.add(tx, wanted.person, now)
        values.store(tx, user_id, wanted.data)
        changed = True
    else:
        held = user_data.load(tx, user_id)
        assert row is not None  # who owns a row has one
        if row != wanted.person:
            people.change(tx, user_id, row, wanted.person, now)
            alter(tx, user_id, context, now)
        changed = shown(row, held) != wanted.visible
        _write_data(tx, user_id, held, wanted.data)
    if changed:
        outbox.mark(tx, context.workspace_id, _directory(context), person_key(user_id), now)
    return user_id


def _write_data(tx: Connection, user_id: int, held: dict[str, Any], wanted: dict[str, Any]) -> None:
    values.store(tx, user_id, {key: value for key, value in wanted.items() if held.get(key) != value})
    gone = (held.keys() & DERIVED_KEYS) - wanted.keys()
    user_data.drop(tx, user_id, gone)


def _link(
    tx: Connection, said: Identity | None, before: Identity | None, near: list[Identity], links: dict[Ref, int]
) -> None:
    for identity in near:
        user_id = links.get(identity.ref)
        if said is not None and identity.ref == said.ref:
            _keep(tx, replace(said, user_id=user_id), before)
        elif identity.user_id != user_id:
            identities.link(tx, identity.ref, user_id)
            log.info("identity_linked", provider=identity.provider, id=identity.external_id, person=user_id)


def _keep(tx: Connection, said: Identity, before: Identity | None) -> None:
    if before is None:
        identities.put(tx, said)
    else:
        identities.change(tx, before, said)
