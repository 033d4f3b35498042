"""Clerk and Slack under chaos: each message until it is acknowledged, some again after that, all of it counted."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.sandbox.senders import Delivery, Door, Platform, Sender

PACE = 0.01  # of the platforms' true waits: Slack's five minutes are three seconds
AT_ONCE = 100
LONGEST_WAIT_S = 1.5  # Svix's hours
REPEATED = 0.1
Id = tuple[str, str]


async def _wait(seconds: float) -> None:
    await asyncio.sleep(min(seconds, LONGEST_WAIT_S))


class Queueing(httpx.AsyncClient):
    """As many requests at once as it has connections. Those that wait in httpx's own queue are looked through again for
    each that ends: with some hundreds of them, a slow machine does nothing else.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self._places = asyncio.Semaphore(AT_ONCE)

    async def post(self, *what: Any, **how: Any) -> httpx.Response:
        async with self._places:
            return await super().post(*what, **how)


@dataclass
class Platforms:
    """Retries as the platforms do, their waits compressed; what they give up on is sent again from the dashboard."""

    client: httpx.AsyncClient
    doors: dict[Platform, Door]
    rng: random.Random
    pace: float = PACE
    offered: set[Id] = field(default_factory=set)
    acknowledged: set[Id] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    attempts: int = 0
    given_up: int = 0
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.client.event_hooks = {"request": [self._asked], "response": [self._answered]}
        self._sender = Sender(self.client, self.doors, pace=self.pace, sleep=_wait)

    @property
    def unanswered(self) -> int:
        return self.attempts - sum(self.statuses.values())

    @property
    def refused(self) -> Counter[int]:
        return Counter({status: count for status, count in self.statuses.items() if status != 200})

    def begin(self, deliveries: Iterable[Delivery], within_s: float) -> None:
        """Starts sending these, each at a moment of its own."""
        for delivery in deliveries:
            task = asyncio.create_task(self.send(delivery, self.rng.uniform(0, within_s)))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def done(self) -> None:
        """Returns when everything begun is acknowledged."""
        await asyncio.gather(*self._under_way)

    async def send(self, delivery: Delivery, after_s: float = 0) -> None:
        id_ = (delivery.platform, delivery.event_id)
        self.offered.add(id_)
        await asyncio.sleep(after_s)
        while True:
            receipt = await self._sender.send(delivery)
            if not receipt.accepted:
                self.given_up += 1
                continue
            again = id_ not in self.acknowledged and self.rng.random() < REPEATED
            self.acknowledged.add(id_)
            if not again:
                return

    async def _asked(self, _request: httpx.Request) -> None:
        self.attempts += 1

    async def _answered(self, response: httpx.Response) -> None:
        self.statuses[response.status_code] += 1
