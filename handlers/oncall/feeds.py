"""Calendar feeds (iCal): a secret token names one, for a person or for the workspace, until it is revoked."""

import secrets
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from db import oncall_feeds
from db.oncall_feeds import Feed
from handlers.oncall.refusal import Refusal
from handlers.registry import Context

TOKEN_BYTES = 24


def issue(tx: Connection, context: Context, person: int | None, now: int) -> str:
    """A new feed's token: of somebody's shifts, or of everybody's (None). Show it once; only its hash is kept."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    oncall_feeds.add(tx, context.workspace_id, person, hash_of(token), now)
    return token


def revoke(tx: Connection, context: Context, id_: int, now: int) -> None:
    """From now on this feed is not there. Refusal when it was not."""
    if not oncall_feeds.revoke(tx, context.workspace_id, id_, now):
        raise Refusal(f"There is no feed {id_} (any more): see `rollcall oncall feed --list`.")


def all_(tx: Connection, context: Context) -> list[dict[str, Any]]:
    """Every feed there is or was, without its token."""
    return oncall_feeds.all_(tx, context.workspace_id)


def find(tx: Connection, token: str) -> Feed | None:
    return oncall_feeds.by_hash(tx, hash_of(token))


def hash_of(token: str) -> str:
    return sha256(token.encode()).hexdigest()
