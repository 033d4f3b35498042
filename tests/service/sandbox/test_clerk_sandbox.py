"""Clerk's stand-in, asked through httpx, pages and filters its users as the Backend API does."""

import random

import httpx
import pytest

from service.sandbox import World
from service.sandbox.people import personas

NOW_MS = 1_790_000_000_000


@pytest.fixture
def crowd(world: World) -> list[str]:
    """The ids of 25 users, oldest first."""
    people = personas(random.Random(5), 25, now_ms=NOW_MS)
    for person in people:
        world.admit(person, slack=False, notion=False)
    return [person.clerk_id for person in sorted(people, key=lambda person: person.created_at_ms)]


async def ids(clerk: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await clerk.get(f"/users{query}")
    assert answer.status_code == 200, answer.text
    return [user["id"] for user in answer.json()]


async def test_a_wrong_secret_is_refused(world: World) -> None:
    async with httpx.AsyncClient(base_url=world.clerk_url, headers={"Authorization": "Bearer x"}) as client:
        answer = await client.get("/users")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, "clerk_key_invalid")


async def test_ten_users_come_newest_first(clerk: httpx.AsyncClient, crowd: list[str]) -> None:
    assert await ids(clerk) == crowd[::-1][:10]


async def test_offset_and_limit_walk_all(clerk: httpx.AsyncClient, crowd: list[str]) -> None:
    parts = [await ids(clerk, f"?limit=10&offset={offset}&order_by=%2Bcreated_at") for offset in (0, 10, 20, 30)]
    assert [len(part) for part in parts] == [10, 10, 5, 0]
    assert [user_id for part in parts for user_id in part] == crowd


async def test_starting_after_walks_all(clerk: httpx.AsyncClient, crowd: list[str]) -> None:
    seen: list[str] = []
    after = ""
    while part := await ids(clerk, f"?limit=10&order_by=created_at{after}"):
        seen += part
        after = f"&starting_after={part[-1]}"
    assert seen == crowd


@pytest.mark.parametrize(
    "query",
    [
        "limit=501",
        "limit=0",
        "limit=many",
        "offset=-1",
        "order_by=shoe_size",
        "starting_after=user_nobody",
        "starting_after={first}&offset=1",
        "starting_after={first}&order_by=updated_at",
        "user_id=" + "&user_id=".join(f"user_{number}" for number in range(101)),
    ],
)
async def test_a_wrong_parameter_is_unprocessable(clerk: httpx.AsyncClient, crowd: list[str], query: str) -> None:
    answer = await clerk.get("/users?" + query.format(first=crowd[0]))
    assert answer.status_code == 422
    assert answer.json()["errors"][0].keys() >= {"message", "long_message", "code"}


async def test_users_are_found_by_id_and_address(world: World, clerk: httpx.AsyncClient, crowd: list[str]) -> None:
    address = world.clerk.users[crowd[2]]["email_addresses"][0]["email_address"]
    assert await ids(clerk, f"?user_id={crowd[0]}&user_id={crowd[1]}&order_by=created_at") == crowd[:2]
    assert await ids(clerk, f"?user_id[]={crowd[0]}") == crowd[:1]
    assert await ids(clerk, f"?email_address={address.upper()}") == [crowd[2]]


async def test_users_created_after_a_time_are_found_and_counted(
    world: World, clerk: httpx.AsyncClient, crowd: list[str]
) -> None:
    bound = world.clerk.users[crowd[19]]["created_at"]
    assert await ids(clerk, f"?created_at_after={bound}&order_by=created_at") == crowd[20:]
    answer = await clerk.get(f"/users/count?created_at_after={bound}")
    assert answer.json() == {"object": "total_count", "total_count": 5}


async def test_an_update_moves_the_version_on(world: World, clerk: httpx.AsyncClient, crowd: list[str]) -> None:
    before = (await clerk.get(f"/users/{crowd[0]}")).json()
    world.clerk.update(crowd[0], first_name="Augusta")
    after = (await clerk.get(f"/users/{crowd[0]}")).json()
    assert after["first_name"] == "Augusta"
    assert after["updated_at"] > before["updated_at"]


async def test_a_deleted_user_is_not_found(world: World, clerk: httpx.AsyncClient, crowd: list[str]) -> None:
    world.clerk.delete(crowd[0])
    answer = await clerk.get(f"/users/{crowd[0]}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "resource_not_found")


async def test_haste_is_a_429_with_retry_after(world: World, clerk: httpx.AsyncClient, crowd: list[str]) -> None:
    world.faults.limit("clerk", requests=3, seconds=10)
    answers = [await clerk.get("/users/count") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 10
    assert answers[-1].json()["errors"][0]["code"] == "too_many_requests"
