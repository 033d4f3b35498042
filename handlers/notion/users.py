"""Notion's user list, kept as identities: so a person's Notion id is in the database before it is asked for (S1.5)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import Connection

from db import identities
from db.database import Database
from db.identities import Identity
from handlers.addresses import address
from handlers.notion.api import NotionApi
from handlers.people.importing import BATCH, Import, Tally
from handlers.people.linking import NOTION
from handlers.people.recording import version, withdraw
from handlers.registry import Context

log = structlog.get_logger()


async def refresh(database: Database, api: NotionApi, context: Context, clock: Callable[[], int]) -> int:
    """Read the list and record what changed; returns how many users that were."""
    listed = [said for user in await api.users() if (said := identity_of(user))]
    known = {held.external_id: held for held in await database.read(identities.of_provider, NOTION)}
    new = [said for said in listed if not _same(known.get(said.external_id), said)]
    gone = sorted(known.keys() - {said.external_id for said in listed})
    now = clock()
    # The list carries no time of change: the time it was read stands for it.
    dated = [replace(one, version=version(now, 0, one.external_id.encode())) for one in new]
    await Import(database, context, clock).record(dated, Tally())
    for start in range(0, len(gone), BATCH):
        await database.write(_withdraw_all, gone[start : start + BATCH], context, now)
    log.info("notion_users_read", listed=len(listed), changed=len(new), gone=len(gone))
    return len(new) + len(gone)


def identity_of(user: dict[str, Any]) -> Identity | None:
    """What Notion says of a user; None for a bot. Their address, if we may see it, is one Notion has verified."""
    if user.get("type") != "person":
        return None
    email = address((user.get("person") or {}).get("email"))
    data = {"name": user["name"]} if user.get("name") else {}
    return Identity(NOTION, str(user["id"]), email, email_verified=email is not None, version="", data=data)


def _same(held: Identity | None, said: Identity) -> bool:
    return held is not None and (held.email, held.data) == (said.email, said.data)


def _withdraw_all(tx: Connection, ids: list[str], context: Context, now: int) -> None:
    for external_id in ids:
        withdraw(tx, (NOTION, external_id), context, now)
