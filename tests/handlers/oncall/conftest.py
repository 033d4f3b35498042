"""A workspace in a transaction that is rolled back, and one that has people and a plan."""

import contextlib
from collections.abc import Iterator

import pytest

from db.database import transaction
from tests.handlers.oncall.team import Team, usual


class _Over(Exception):
    """The test is done: roll back."""


@pytest.fixture
def empty(database_url: str) -> Iterator[Team]:
    """Nobody is there yet."""
    with contextlib.suppress(_Over), transaction(database_url) as tx:
        yield Team(tx)
        raise _Over


@pytest.fixture
def team(empty: Team) -> Team:
    """Ada and Ben in the AM pool, Pia, Quin and Rosa in the PM pool, planned on Monday, 2026-11-02."""
    return usual(empty)
