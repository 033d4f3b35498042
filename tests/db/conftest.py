"""Nouns are tested on a transaction that is rolled back, once straight to the driver and once through SQLAlchemy."""

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from db import statements
from tests.transactions import transaction


class _Over(Exception):
    """The test is done: roll back."""


@pytest.fixture(params=["direct", "ordinary"])
def tx(request: pytest.FixtureRequest, database_url: str) -> Iterator[Connection]:
    with contextlib.suppress(_Over), transaction(database_url) as tx:
        if request.param == "direct":
            statements.go_direct(tx)
        yield tx
        raise _Over
