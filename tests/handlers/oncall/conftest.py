"""A workspace in a transaction that is rolled back, and one that has people and a plan."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.filling import filled
from tests.handlers.oncall.team import Team, usual
from tests.transactions import transaction


class _Over(Exception):
    """The test is done: roll back."""


@pytest.fixture
def empty(database_url: str) -> Iterator[Team]:
    """Nobody is there yet."""
    with contextlib.suppress(_Over), transaction(database_url) as tx:
        yield Team(tx)
        raise _Over


@pytest.fixture
def team(database_url: str) -> Iterator[Team]:
    """Ada and Ben in the AM pool, Pia, Quin and Rosa in the PM pool, planned on Monday, 2026-11-02."""
    ids = filled(database_url, "the usual team", _usual)
    with contextlib.suppress(_Over), transaction(database_url) as tx:
        yield Team(tx, ids=dict(ids))
        raise _Over


def _usual(url: str) -> dict[str, int]:
    with transaction(url) as tx:
        return usual(Team(tx)).ids
