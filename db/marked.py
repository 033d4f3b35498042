"""Which marks a transaction made due: kept with its connection until it commits, and whoever delivers them is woken."""

from collections.abc import Iterable

from sqlalchemy import Connection

MARKED = "marked"  # in a connection's info
Due = tuple[int, str, str, int]  # workspace, sink, key, and when (ms)


def marked(tx: Connection, due: Iterable[Due]) -> None:
    """Say which marks this transaction made due, and when."""
    tx.info.setdefault(MARKED, []).extend(due)
