"""A PostgreSQL for a benchmark: the tests' own server, started when it is first wanted, an empty database each time."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests import postgres_databases


@contextmanager
def postgres_database(wanted: bool) -> Iterator[str | None]:
    """The URL of an empty database, dropped afterwards; None where none is wanted."""
    if not wanted:
        yield None
        return
    url = postgres_databases.empty_database()
    try:
        yield url.replace("+psycopg", "")
    finally:
        postgres_databases.drop(url)
