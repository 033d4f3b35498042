"""`rollcall import clerk`: everybody who exists, once, beside live events; and nobody is deleted by mistake (S1.6)."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic_core import to_json
from structlog.testing import capture_logs

from db.database import Database
from handlers import patience
from handlers.clerk import api as clerk_api
from handlers.clerk import events, importing
from handlers.clerk.api import ClerkApi
from handlers.clerk.importing import RESUMED_WITHIN_MS, ClerkImport
from handlers.people.importing import Tally, body_of
from handlers.registry import Context, Malformed, Message, Refused, SinkDown, Throttled, Unauthorized
from service.sandbox.people import Persona, clerk_deleted, clerk_event, clerk_user, personas
from service.sandbox.wire import Answer, Call
from service.sandbox.world import World, running
from tests.conftest import Rows

NOW = 1_790_000_000_000
DAY = 86_400_000
CONTEXT = Context(sinks=frozenset({"notion"}))
TABLES = ("users", "user_data", "identities", "sync_actions", "workspace_members", "sync_status")
SMALL = 5
Waits = list[float]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running(World(seed=3)) as world:
        yield world


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clerk lists SMALL users a page, and is asked for as many by id."""
    monkeypatch.setattr(clerk_api, "PAGE_SIZE", SMALL)
    monkeypatch.setattr(importing, "PAGE_SIZE", SMALL)
    monkeypatch.setattr(importing, "FILTER_SIZE", SMALL)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """What was waited for, s; nobody really waits."""
    waited: Waits = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(patience, "pause", pause)
    return waited


def people(count: int, seed: int = 1) -> list[Persona]:
    """Oldest first, as Clerk lists them."""
    return sorted(personas(random.Random(seed), count, now_ms=NOW), key=lambda one: one.created_at_ms)


def admit(world: World, cast: list[Persona]) -> list[Persona]:
    for person in cast:
        world.clerk.put(clerk_user(person))
    return cast


async def run(world: World, database: Database, *, now: int = NOW, key: str | None = None) -> Tally:
    api = ClerkApi(key or world.clerk.secret_key, world.clerk_url, no_wait)
    try:
        return await ClerkImport(database, CONTEXT, lambda: now, api=api).run()
    finally:
        await api.close()


async def no_wait() -> None:
    return


async def hear(database: Database, type_: str, data: dict[str, Any], at: int) -> str:
    """An event arrives, as through the intake."""
    message = events.parse(to_json(clerk_event(type_, data, at)), "msg")
    assert isinstance(message, Message)
    outcome = await database.write(events.dispatch.handlers[type_], message.payload, CONTEXT, at)
    return outcome.status


def listings(world: World) -> list[Call]:
    """The requests for pages; those for named users left out."""
    return [one.call for one in world.requests.to("clerk", "GET", "/v1/users") if "user_id" not in one.call.query]


def everything(rows: Rows) -> list[list[dict[str, Any]]]:
    return [sorted(rows(f"SELECT * FROM {table}"), key=repr) for table in TABLES]  # noqa: S608


def clerk_ids(rows: Rows) -> set[str]:
    return {row["clerk_id"] for row in rows("SELECT clerk_id FROM users")}


def meddle(world: World, monkeypatch: pytest.MonkeyPatch, meddler: Callable[[Call, Answer], Answer | None]) -> None:
    """Between Clerk and us: after each answer was made up, before it is sent."""
    handle = world.clerk.handle

    def meddled(call: Call) -> Answer:
        answer = handle(call)
        return meddler(call, answer) or answer

    monkeypatch.setattr(world.clerk, "handle", meddled)


# -- who is there --


async def test_an_empty_clerk_brings_nobody(world: World, database: Database, rows: Rows) -> None:
    assert await run(world, database) == Tally()
    assert rows("SELECT * FROM users") == []


async def test_a_user_becomes_a_person_with_all_that_clerk_says(world: World, database: Database, rows: Rows) -> None:
    (ada,) = people(1)
    world.clerk.put(clerk_user(ada, public_metadata={"role": "admin", "signup_source": "invite"}))
    assert await run(world, database) == Tally(listed=1, recorded=1)
    (row,) = rows("SELECT * FROM users")
    assert (row["clerk_id"], row["email"], row["name"]) == (ada.clerk_id, ada.email, ada.name)
    assert (row["role"], row["status"]) == ("admin", "active")
    sources = [
        one["value"] for one in rows("SELECT CAST(value AS TEXT) AS value FROM user_data WHERE key = 'signup_source'")
    ]
    assert sources == ['"invite"']
    assert [one["key"] for one in rows("SELECT key FROM sync_actions")] == [f"person:{row['id']}"]


async def test_1203_users_are_three_pages(world: World, database: Database, rows: Rows) -> None:
    cast = admit(world, people(1203))
    tally = await run(world, database)
    assert tally == Tally(listed=tally.listed, recorded=1203)
    assert clerk_ids(rows) == {one.clerk_id for one in cast}
    assert len(listings(world)) == 3


async def test_a_repeat_changes_nothing(world: World, database: Database, rows: Rows, small_pages: None) -> None:
    admit(world, people(12))
    await run(world, database)
    before = everything(rows)
    assert await run(world, database, now=NOW + DAY) == Tally(listed=12, stale=12)
    assert everything(rows) == before


async def test_600_users_of_one_millisecond_are_all_found(world: World, database: Database, rows: Rows) -> None:
    admit(world, [replace(one, created_at_ms=NOW - DAY) for one in people(600)])
    assert (await run(world, database)).recorded == 600
    assert len(clerk_ids(rows)) == 600
    assert len(listings(world)) <= 4


async def test_users_of_one_millisecond_do_not_hide_those_after_them(
    world: World, database: Database, rows: Rows, small_pages: None
) -> None:
    cast = people(23)
    same = [replace(one, created_at_ms=cast[3].created_at_ms) for one in cast[3:18]]
    admit(world, [*cast[:3], *same, *cast[18:]])
    assert (await run(world, database)).recorded == 23
    assert len(clerk_ids(rows)) == 23


async def test_who_cannot_be_read_is_skipped_and_said_and_the_others_come(
    world: World, database: Database, rows: Rows, small_pages: None
) -> None:
    cast = people(17)
    admit(world, cast)
    world.clerk.users[cast[4].clerk_id]["updated_at"] = None  # the last of the first page
    world.clerk.users[cast[6].clerk_id]["first_name"] = 7
    world.clerk.users[cast[7].clerk_id]["first_name"] = "a\0b"
    world.clerk.users[cast[8].clerk_id]["created_at"] = None
    with capture_logs() as logs:
        tally = await run(world, database)
    assert (tally.recorded, tally.skipped) == (13, 4)
    assert clerk_ids(rows) == {one.clerk_id for one in cast} - {cast[n].clerk_id for n in (4, 6, 7, 8)}
    said = {one["clerk_id"]: one["wrong"] for one in logs if one["event"] == "clerk_user_skipped"}
    assert said.keys() == {cast[n].clerk_id for n in (4, 6, 7, 8)}
    assert said[cast[6].clerk_id].startswith("first_name: ")


async def test_who_was_known_and_cannot_be_read_any_more_is_not_deleted(
    world: World, database: Database, rows: Rows
) -> None:
    (ada,) = admit(world, people(1))
    await run(world, database)
    world.clerk.users[ada.clerk_id]["updated_at"] = "yesterday"
    assert (await run(world, database)).deleted == 0
    assert clerk_ids(rows) == {ada.clerk_id}


@pytest.mark.parametrize("text", ["\ud800", "a\0b", float("nan")])
def test_what_no_event_could_carry_is_malformed_in_a_list_too(text: Any) -> None:
    with pytest.raises(Malformed):
        body_of({"unsafe_metadata": {"x": text}})


# -- beside live events --


@pytest.mark.parametrize("event_first", [True, False])
@pytest.mark.parametrize("ahead", [1, 0], ids=["newer", "as new"])
async def test_an_event_as_new_as_the_listing_wins_whichever_comes_first(
    world: World, database: Database, rows: Rows, event_first: bool, ahead: int
) -> None:
    (ada,) = people(1)
    at = ada.created_at_ms
    world.clerk.put(clerk_user(replace(ada, first="Listed"), updated_at_ms=at))
    told = clerk_user(replace(ada, first="Told"), updated_at_ms=at + ahead)
    if event_first:
        assert await hear(database, "user.updated", told, at + ahead) == "applied"
        assert (await run(world, database)).stale == 1
    else:
        assert (await run(world, database)).recorded == 1
        assert await hear(database, "user.updated", told, at + ahead) == "applied"
    assert [row["first_name"] for row in rows("SELECT first_name FROM users")] == ["Told"]


async def test_a_listing_newer_than_the_event_wins(world: World, database: Database, rows: Rows) -> None:
    (ada,) = people(1)
    await hear(database, "user.created", clerk_user(replace(ada, first="Told")), NOW)
    world.clerk.put(clerk_user(replace(ada, first="Listed"), updated_at_ms=ada.created_at_ms + 1))
    assert (await run(world, database)).recorded == 1
    assert [row["first_name"] for row in rows("SELECT first_name FROM users")] == ["Listed"]


async def test_events_that_arrive_during_the_import_are_not_undone(
    world: World, database: Database, rows: Rows, small_pages: None
) -> None:
    cast = admit(world, people(40))

    async def renames() -> None:
        for one in random.Random(5).sample(cast, len(cast)):
            told = clerk_user(replace(one, first="Told"), updated_at_ms=one.created_at_ms + 5)
            await hear(database, "user.updated", told, NOW)

    await asyncio.gather(run(world, database), renames())
    assert {row["first_name"] for row in rows("SELECT first_name FROM users")} == {"Told"}
    assert len(clerk_ids(rows)) == 40


async def test_a_deleted_user_whom_clerk_still_lists_does_not_come_back(
    world: World, database: Database, rows: Rows
) -> None:
    (ada,) = admit(world, people(1))
    await hear(database, "user.deleted", clerk_deleted(ada.clerk_id), NOW)
    world.clerk.update(ada.clerk_id, first_name="Back")
    assert await run(world, database) == Tally(listed=1, stale=1)
    assert rows("SELECT * FROM users") == []


# -- who is gone --


async def test_who_clerk_does_not_have_any_more_is_deleted_for_good(
    world: World, database: Database, rows: Rows
) -> None:
    ada, bob = admit(world, people(2))
    await run(world, database)
    gone = world.clerk.delete(ada.clerk_id)
    assert (await run(world, database)).deleted == 1
    assert clerk_ids(rows) == {bob.clerk_id}
    world.clerk.put(gone)
    await run(world, database)
    assert clerk_ids(rows) == {bob.clerk_id}


async def test_who_is_not_listed_but_there_when_asked_for_stays(
    world: World, database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = admit(world, people(2))
    await run(world, database)

    def forgetful(call: Call, answer: Answer) -> Answer | None:
        assert isinstance(answer.body, list)
        if "user_id" in call.query:
            return None
        return Answer([user for user in answer.body if user["id"] != ada.clerk_id])

    meddle(world, monkeypatch, forgetful)
    assert (await run(world, database)).deleted == 0
    assert clerk_ids(rows) == {ada.clerk_id, bob.clerk_id}


async def test_who_is_deleted_while_we_list_is_deleted(
    world: World, database: Database, rows: Rows, small_pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = admit(world, people(12))
    await run(world, database)

    def leave(_call: Call, _answer: Answer) -> None:
        world.clerk.users.pop(cast[9].clerk_id, None)

    meddle(world, monkeypatch, leave)
    assert (await run(world, database)).deleted == 1
    assert clerk_ids(rows) == {one.clerk_id for one in cast} - {cast[9].clerk_id}


async def test_who_was_created_after_the_listing_is_not_taken_for_deleted(
    world: World, database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob, late = people(3)
    admit(world, [ada, bob])
    await run(world, database)
    world.clerk.delete(bob.clerk_id)
    hearing: list[asyncio.Task[str]] = []

    def arrive(call: Call, _answer: Answer) -> None:
        if "user_id" not in call.query:  # the one page of the listing is on its way, and they are not on it
            hearing.append(asyncio.create_task(hear(database, "user.created", clerk_user(late), NOW)))

    meddle(world, monkeypatch, arrive)
    assert (await run(world, database)).deleted == 1
    await asyncio.gather(*hearing)
    assert clerk_ids(rows) == {ada.clerk_id, late.clerk_id}


async def test_nobody_is_deleted_before_the_listing_is_complete(
    world: World, database: Database, rows: Rows, small_pages: None
) -> None:
    cast = admit(world, people(12))
    await run(world, database)
    world.clerk.delete(cast[0].clerk_id)
    world.faults.add(platform="clerk", path_prefix="/v1/users", status=503, skip=1, times=None)
    with pytest.raises(SinkDown):
        await run(world, database)
    assert len(clerk_ids(rows)) == 12


async def test_the_key_of_another_instance_deletes_and_brings_nobody(
    world: World, database: Database, rows: Rows
) -> None:
    admit(world, people(12))
    await run(world, database)
    before = everything(rows)
    world.clerk.users.clear()
    admit(world, people(12, seed=2))
    with pytest.raises(Refused, match=r"another instance.*Nothing was changed"):
        await run(world, database)
    assert everything(rows) == before


# -- when Clerk fails --


async def test_a_run_that_was_cut_off_goes_on_from_its_last_page_and_still_finds_deletions(
    world: World, database: Database, rows: Rows, small_pages: None
) -> None:
    cast = people(17)
    admit(world, cast[:4])
    await run(world, database)
    admit(world, cast[4:])
    world.clerk.delete(cast[2].clerk_id)
    world.faults.add(platform="clerk", path_prefix="/v1/users", status=503, skip=2, times=None)
    with pytest.raises(SinkDown):
        await run(world, database)
    assert 8 < len(clerk_ids(rows)) < 17
    world.faults.calm()
    world.requests.clear()
    tally = await run(world, database)
    assert (tally.resumed, tally.deleted) == (True, 1)
    assert tally.listed < 12
    assert "created_at_after" in listings(world)[0].query
    assert clerk_ids(rows) == {one.clerk_id for one in cast} - {cast[2].clerk_id}
    assert (await run(world, database)).resumed is False


async def test_a_run_that_was_cut_off_long_ago_is_begun_anew(
    world: World, database: Database, rows: Rows, small_pages: None
) -> None:
    ada, *_ = admit(world, people(12))
    fault = world.faults.add(platform="clerk", path_prefix="/v1/users", status=503, skip=2, times=None)
    with pytest.raises(SinkDown):
        await run(world, database)
    assert fault.hits == 6
    world.faults.calm()
    world.clerk.update(ada.clerk_id, first_name="Renamed")  # and the event about it was lost
    assert (await run(world, database, now=NOW + RESUMED_WITHIN_MS)).resumed is False
    assert rows("SELECT first_name FROM users WHERE clerk_id = :id", id=ada.clerk_id) == [{"first_name": "Renamed"}]


@pytest.mark.parametrize(
    ("how", "waited"),
    [
        ({"status": 429, "retry_after": 7}, 7.0),
        ({"status": 429}, 10.0),
        ({"status": 500}, 1.0),
        ({"status": 503}, 1.0),
        ({"kind": "drop"}, 1.0),
        ({"kind": "html", "status": 502}, 1.0),
        ({"kind": "html", "status": 200}, 1.0),
        ({"kind": "garbage"}, 1.0),
        ({"kind": "hang", "seconds": 30}, 1.0),
    ],
)
async def test_what_passes_is_waited_for(
    world: World, database: Database, waits: Waits, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], waited: float
) -> None:
    if how.get("kind") == "hang":
        monkeypatch.setattr(clerk_api, "TIMEOUT_S", 0.2)
    admit(world, people(3))
    world.faults.add(platform="clerk", **how)
    assert await run(world, database) == Tally(listed=3, recorded=3)
    assert waits == [waited]


@pytest.mark.parametrize("how", [{"status": 503}, {"kind": "drop"}, {"kind": "garbage"}])
async def test_what_does_not_pass_is_said_in_the_end(
    world: World, database: Database, waits: Waits, how: dict[str, Any]
) -> None:
    world.faults.add(platform="clerk", times=None, **how)
    with pytest.raises(SinkDown, match="Clerk"):
        await run(world, database)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


async def test_being_asked_to_wait_for_long_is_said_at_once(world: World, database: Database, waits: Waits) -> None:
    world.faults.add(platform="clerk", status=429, retry_after=900)
    with pytest.raises(Throttled, match="Clerk 429"):
        await run(world, database)
    assert waits == []


async def test_a_wrong_key_is_said_at_once_with_its_name(world: World, database: Database, waits: Waits) -> None:
    with pytest.raises(Unauthorized, match=r"Clerk 401: .*CLERK_SECRET_KEY: copy it again"):
        await run(world, database, key="sk_test_wrong")
    assert waits == []
    assert len(world.requests) == 1


async def test_an_answer_that_is_no_list_of_users_is_clerks_failure(
    world: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    meddle(world, monkeypatch, lambda _call, _answer: Answer({"data": []}))
    with pytest.raises(SinkDown, match="CLERK_BASE_URL"):
        await run(world, database)
