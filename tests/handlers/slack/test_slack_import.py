"""`rollcall import slack`: everybody of the team, once, linked to the people Clerk knows (S1.5, S1.6)."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic_core import to_json
from structlog.testing import capture_logs

from db.database import Database
from handlers import patience
from handlers.clerk.events import identity_of as of_clerk
from handlers.clerk.payloads import User
from handlers.people.importing import Tally
from handlers.people.recording import record
from handlers.registry import Context, SinkDown, Unauthorized
from handlers.slack import importing
from handlers.slack.importing import SlackImport
from handlers.slack.sink import web_client
from service.sandbox.people import (
    Persona,
    clerk_user,
    personas,
    slack_bot,
    slack_deactivated,
    slack_foreign,
    slack_user,
)
from service.sandbox.world import World, running
from tests.conftest import Rows

NOW = 1_790_000_000_000
AT_S = NOW // 1000
CONTEXT = Context(sinks=frozenset({"notion"}))
TABLES = ("users", "user_data", "identities", "sync_actions")
Waits = list[float]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running(World(seed=3)) as world:
        yield world


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """What was waited for, s; nobody really waits."""
    waited: Waits = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(patience, "pause", pause)
    return waited


def people(count: int) -> list[Persona]:
    return personas(random.Random(1), count, now_ms=NOW)


def join(world: World, cast: list[Persona]) -> list[Persona]:
    for person in cast:
        world.slack.put(slack_user(person, updated_s=AT_S))
    return cast


async def known(database: Database, person: Persona) -> None:
    """Clerk has told of them."""
    said = of_clerk(User.model_validate(clerk_user(person)), sent_at=NOW, body=person.clerk_id.encode())
    await database.write(record, said, CONTEXT, NOW)


async def run(world: World, database: Database, token: str | None = None) -> Tally:
    client = web_client(token or world.slack.token, world.slack_url)
    return await SlackImport(database, CONTEXT, lambda: NOW, client=client).run()


def everything(rows: Rows) -> list[list[dict[str, Any]]]:
    return [sorted(rows(f"SELECT * FROM {table}"), key=repr) for table in TABLES]  # noqa: S608


def slack_ids(rows: Rows) -> set[str]:
    return {row["external_id"] for row in rows("SELECT external_id FROM identities WHERE provider = 'slack'")}


async def test_members_are_linked_to_the_people_clerk_knows(world: World, database: Database, rows: Rows) -> None:
    ada, stranger = people(2)
    await known(database, ada)
    join(world, [replace(ada, email=str(ada.email).title()), stranger])
    assert await run(world, database) == Tally(listed=2, recorded=2)
    (row,) = rows("SELECT * FROM users")
    assert (row["clerk_id"], row["slack_user_id"]) == (ada.clerk_id, ada.slack_id)
    data = {one["key"]: one["value"] for one in rows("SELECT key, CAST(value AS TEXT) AS value FROM user_data")}
    assert data["preferences"] == to_json({"language": ada.locale, "timezone": ada.tz}).decode()
    assert ada.title in data["profile"]
    unlinked = rows("SELECT external_id FROM identities WHERE provider = 'slack' AND user_id IS NULL")
    assert unlinked == [{"external_id": stranger.slack_id}]


async def test_a_member_waits_for_their_person(world: World, database: Database, rows: Rows) -> None:
    (ada,) = join(world, people(1))
    await run(world, database)
    assert rows("SELECT * FROM users") == []
    await known(database, ada)
    assert [row["slack_user_id"] for row in rows("SELECT slack_user_id FROM users")] == [ada.slack_id]


async def test_an_unconfirmed_address_links_to_nobody(world: World, database: Database, rows: Rows) -> None:
    (ada,) = people(1)
    await known(database, ada)
    world.slack.put(slack_user(ada, updated_s=AT_S, confirmed=False))
    await run(world, database)
    assert [row["slack_user_id"] for row in rows("SELECT slack_user_id FROM users")] == [None]


async def test_pages_are_followed_to_the_end(
    world: World, database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PAGE_SIZE", 3)
    cast = join(world, people(10))
    assert (await run(world, database)).recorded == 10
    assert slack_ids(rows) == {one.slack_id for one in cast}
    assert len(world.requests.to("slack", path="/api/users.list")) == 4


async def test_a_team_of_450_is_three_pages(world: World, database: Database) -> None:
    join(world, people(450))
    assert (await run(world, database)).recorded == 450
    assert len(world.requests.to("slack", path="/api/users.list")) == 3


async def test_bots_foreigners_strangers_and_slackbot_are_nobody(world: World, database: Database, rows: Rows) -> None:
    ada, bot, foreign, stranger, slackbot = people(5)
    join(world, [ada])
    world.slack.put(slack_bot(bot, updated_s=AT_S))
    world.slack.put(slack_foreign(foreign, updated_s=AT_S))
    world.slack.put({**slack_user(stranger, updated_s=AT_S), "is_stranger": True})
    world.slack.put(slack_user(replace(slackbot, slack_id="USLACKBOT"), updated_s=AT_S))
    assert await run(world, database) == Tally(listed=5, recorded=1, skipped=4)
    assert slack_ids(rows) == {ada.slack_id}


async def test_a_deactivated_member_is_an_inactive_person(world: World, database: Database, rows: Rows) -> None:
    ada, bob = join(world, people(2))
    await known(database, ada)
    await known(database, bob)
    await run(world, database)
    world.slack.put(slack_deactivated(world.slack.users[ada.slack_id], AT_S + 60))
    assert await run(world, database) == Tally(listed=2, recorded=1, stale=1)
    status = {row["clerk_id"]: (row["status"], row["slack_user_id"]) for row in rows("SELECT * FROM users")}
    assert status == {ada.clerk_id: ("inactive", ada.slack_id), bob.clerk_id: ("active", bob.slack_id)}


async def test_a_repeat_changes_nothing(world: World, database: Database, rows: Rows) -> None:
    for person in join(world, people(6)):
        await known(database, person)
    await run(world, database)
    before = everything(rows)
    assert await run(world, database) == Tally(listed=6, stale=6)
    assert everything(rows) == before


async def test_who_cannot_be_read_is_skipped_and_said(world: World, database: Database, rows: Rows) -> None:
    ada, odd, nul = join(world, people(3))
    world.slack.users[odd.slack_id]["updated"] = "yesterday"
    world.slack.users[nul.slack_id]["profile"]["status_text"] = "a\0b"
    with capture_logs() as logs:
        assert await run(world, database) == Tally(listed=3, recorded=1, skipped=2)
    assert slack_ids(rows) == {ada.slack_id}
    said = {one["slack_id"]: one["wrong"] for one in logs if one["event"] == "slack_user_skipped"}
    assert said.keys() == {odd.slack_id, nul.slack_id}
    assert said[odd.slack_id].startswith("updated: ")


async def test_a_missing_scope_is_said_at_once_with_what_to_do(world: World, database: Database, waits: Waits) -> None:
    world.slack.scopes = {"chat:write", "users:read.email"}
    with pytest.raises(Unauthorized, match=r"missing_scope: give the app users:read and users:read\.email under OAuth"):
        await run(world, database)
    assert waits == []


async def test_without_addresses_nothing_is_imported(world: World, database: Database, rows: Rows) -> None:
    join(world, people(2))
    world.slack.scopes = {"users:read"}
    with pytest.raises(Unauthorized, match=r"addresses cannot be read: give the app .*users:read\.email"):
        await run(world, database)
    assert slack_ids(rows) == set()


@pytest.mark.parametrize("said", ["invalid_auth", "token_revoked", "account_inactive"])
async def test_a_token_that_will_not_do_is_said_at_once_with_its_name(
    world: World, database: Database, waits: Waits, said: str
) -> None:
    token = "xoxb-wrong" if said == "invalid_auth" else None
    world.slack.revoked = said
    with pytest.raises(Unauthorized, match=f"Slack: {said}: copy SLACK_BOT_TOKEN again"):
        await run(world, database, token)
    assert waits == []


@pytest.mark.parametrize(
    ("how", "waited"),
    [
        ({"status": 429, "retry_after": 30}, 30.0),
        ({"status": 503}, 1.0),
        ({"kind": "drop", "times": 2}, 1.0),  # aiohttp by itself asks once more
        ({"kind": "html", "status": 502}, 1.0),
        ({"kind": "garbage"}, 1.0),
    ],
)
async def test_what_passes_is_waited_for(
    world: World, database: Database, waits: Waits, how: dict[str, Any], waited: float
) -> None:
    join(world, people(3))
    world.faults.add(platform="slack", path_prefix="/api/users.list", **how)
    assert (await run(world, database)).recorded == 3
    assert waits == [waited]


async def test_what_does_not_pass_is_said_in_the_end(world: World, database: Database, waits: Waits) -> None:
    world.faults.add(platform="slack", status=503, times=None)
    with pytest.raises(SinkDown, match="Slack: service_unavailable"):
        await run(world, database)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]
