"""Calls that wait for PostgreSQL's threads: in order, together only with their like, none left behind."""

import asyncio
from typing import Any

import pytest

from db.call_queue import CallQueue
from db.calls import Call


def everything(waiting: int) -> int:
    return waiting


@pytest.fixture
def queue() -> CallQueue:
    return CallQueue()


async def put(queue: CallQueue, *kinds: Any) -> list[Call]:
    calls = [Call(kind, (), {}, asyncio.get_running_loop().create_future()) for kind in kinds]
    for call in calls:
        queue.put(call)
    return calls


async def test_those_of_one_kind_go_together_and_an_odd_one_keeps_its_place(queue: CallQueue) -> None:
    one, two, odd, three = await put(queue, print, print, len, print)
    assert [queue.take(everything) for _ in range(3)] == [[one, two], [odd], [three]]


async def test_nobody_takes_more_than_their_share(queue: CallQueue) -> None:
    calls = await put(queue, *[print] * 5)
    assert [len(queue.take(lambda waiting: -(-waiting // 2))) for _ in calls[:3]] == [3, 1, 1]


async def test_what_is_given_back_comes_next_in_order_and_alone(queue: CallQueue) -> None:
    one, two = await put(queue, print, print)
    taken = queue.take(everything)
    (three,) = await put(queue, print)
    queue.give_back(taken)
    assert [queue.take(everything) for _ in range(3)] == [[one], [two], [three]]


async def test_at_the_end_what_waits_is_taken_before_there_is_nothing(queue: CallQueue) -> None:
    calls = await put(queue, print, len, print, len)
    queue.end()
    assert [queue.take(everything) for _ in range(6)] == [*([call] for call in calls), [], []]
