"""Commands wait for a platform that is busy or away, and not for one that says no."""

from collections.abc import Awaitable, Callable

import pytest

from handlers import patience
from handlers.patience import LONGEST_THROTTLE_S, WAITS_S, patiently
from handlers.registry import Gone, Refused, SinkDown, Throttled, Unauthorized


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited for, s; nobody really waits."""
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(patience, "pause", pause)
    return waited


def failing(*failures: Exception) -> Callable[[], Awaitable[str]]:
    left = list(failures)

    async def request() -> str:
        if left:
            raise left.pop(0)
        return "the answer"

    return request


async def test_an_answer_is_not_waited_for(waits: list[float]) -> None:
    assert await patiently(failing()) == "the answer"
    assert waits == []


async def test_a_platform_that_is_away_is_asked_again_after_longer_and_longer_waits(waits: list[float]) -> None:
    assert await patiently(failing(*[SinkDown("away")] * 5)) == "the answer"
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


async def test_a_busy_platform_is_given_the_time_it_asks_for(waits: list[float]) -> None:
    assert await patiently(failing(Throttled("busy", 7.0), SinkDown("away"), Throttled("busy", 0.1))) == "the answer"
    assert waits == [7.0, 2.0, 0.1]


async def test_the_last_failure_is_raised(waits: list[float]) -> None:
    with pytest.raises(SinkDown, match="the last"):
        await patiently(failing(*[SinkDown("away")] * len(WAITS_S), SinkDown("the last")))
    assert len(waits) == len(WAITS_S)


TOO_LONG = Throttled("no", LONGEST_THROTTLE_S + 1)


@pytest.mark.parametrize("failure", [Unauthorized("no"), Refused("no"), Gone("no"), TOO_LONG, ValueError("no")])
async def test_where_waiting_is_no_use_nobody_waits(waits: list[float], failure: Exception) -> None:
    with pytest.raises(type(failure), match="no"):
        await patiently(failing(failure))
    assert waits == []
