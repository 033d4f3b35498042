"""When one machine is outgrown: a SQLite installation is moved to PostgreSQL, all of it or nothing.

The SQLite file's write lock is held from the first row to the last, so what is acknowledged is copied: webhooks are
answered 503 meanwhile, and sent again. When PostgreSQL has committed, the file is closed for good, in the very
transaction that held the lock: a service that still runs on it goes on answering 503 and acknowledges nothing more.
"""

from collections.abc import Callable
from dataclasses import dataclass

import migrations
from db import promotion
from db.database import transaction


class NotPromoted(Exception):
    """Nothing was moved; the message says why."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Rows by table."""

    rows: dict[str, int]


def promote(source_url: str, target_url: str, told: Callable[[str, int], None]) -> Moved:
    """Move everything. Raises NotPromoted; and Unavailable or DBAPIError where either database fails."""
    with transaction(target_url) as target:
        if migrations.current(target) is not None and (filled := promotion.filled(target)):
            raise NotPromoted(f"the target is not empty, there are rows in {', '.join(filled)}: name an empty database")
    migrations.upgrade(target_url)
    with transaction(source_url) as source:  # commits last
        if (revision := migrations.current(source)) != migrations.head():
            raise NotPromoted(f"the database is at {revision or 'base'}: run `rollcall migrate` first")
        with transaction(target_url) as target:
            if filled := promotion.filled(target):
                raise NotPromoted(f"somebody else is filling the target: {', '.join(filled)}")
            promotion.copy_all(source, target, told)
            promotion.go_on_counting(source, target)
            ours, theirs = promotion.count_all(source), promotion.count_all(target)
            if differing := [name for name in ours if ours[name] != theirs[name]]:
                raise NotPromoted(f"these tables differ after the copy, so nothing was kept: {', '.join(differing)}")
        promotion.close(source, migrations.MOVED + migrations.head())
    return Moved({name: counted.rows for name, counted in ours.items()})


def undo(source_url: str) -> None:
    """Open the SQLite file again. What PostgreSQL took in since is not in it."""
    with transaction(source_url) as source:
        revision = migrations.current(source)
        if revision is None or not revision.startswith(migrations.MOVED):
            raise NotPromoted("this database was not moved: there is nothing to undo")
        promotion.reopen(source, revision.removeprefix(migrations.MOVED))
