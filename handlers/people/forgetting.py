"""Somebody is deleted or erased: what was kept of them besides their row goes in that same transaction.

The event ids stay, so that a duplicate is still known; and the tombstone, with the trace of the address.
A feature that keeps rows about people adds its own function to `Context.forget` (service/platforms.py); it
is called before the person's row goes.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from db import identities, outbox, retention
from db.identities import Identity
from handlers.people.linking import CLERK, Ref
from handlers.registry import Context

PURGE = ("clock",), "purge"  # the job that does what is too much for one transaction

Page = tuple[str, str]  # the sink and the key a person is shown under


def forget_deleted(
    tx: Connection, ref: Ref, old: Identity | None, page: Page | None, context: Context, now: int
) -> None:
    """A source deleted this account. If it was the person's own (Clerk's), the person is forgotten with it."""
    refs = {ref}
    if page and old and old.user_id and old.provider == CLERK:
        refs |= {identity.ref for identity in identities.of_user(tx, old.user_id)}
        forget_person(tx, old.user_id, page, context, now)
    forget_events(tx, refs, context, now)


def forget_person(tx: Connection, user_id: int, page: Page, context: Context, now: int) -> None:
    """What the features keep, and what the other side said of the person's page."""
    for forget in context.forget:
        forget(tx, user_id, now)
    retention.forget_errors(tx, context.workspace_id, *page)


def forget_events(tx: Connection, refs: Iterable[Ref], context: Context, now: int) -> int:
    """Empty the bodies of events about these accounts, one batch of each; the purge looks for more of the deleted."""
    total = 0
    for source, subject in sorted(refs):
        ids = retention.events_about(tx, source, subject)
        total += retention.forget(tx, ids)
        if len(ids) == retention.BATCH:
            outbox.mark(tx, context.workspace_id, *PURGE, now)
    return total
