"""The office: a team, its schedule, and Slack."""

from collections.abc import AsyncIterator

import pytest

from tests.handlers.slack.office import Office, opened
from tests.service.web import Serve


@pytest.fixture
async def office(serve: Serve) -> AsyncIterator[Office]:
    async with opened(serve) as office:
        yield office
