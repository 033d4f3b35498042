"""The office: a team, its schedule, and Slack."""

from collections.abc import AsyncIterator

import pytest

from tests.handlers.slack.office import Office, opened
from tests.service.web import Serve


@pytest.fixture
async def office(serve: Serve, database_url: str) -> AsyncIterator[Office]:
    async with opened(serve, database_url) as office:
        yield office
