"""What Notion's people are told: the user list read back, names shown, and what a surplus page comes to."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from db import outbox, sync
from db.sync import Known
from handlers.notion.sink import USERS, USERS_EVERY_MS
from tests.stage import Stage, read_users, staged


@pytest.fixture
async def stage(tmp_path: Path, database_kind: str) -> AsyncIterator[Stage]:
    async with staged(tmp_path, database_kind) as stage:
        yield stage


def notion_member(stage: Stage, number: int, email: str | None, **more: Any) -> str:
    user = {"object": "user", "id": f"{number:08d}-1111-4111-a111-111111111111", "type": "person", "name": "A"}
    return stage.world.notion.add_user(
        {**user, "avatar_url": None, "person": {"email": email} if email else {}, **more}
    )


async def refresh(stage: Stage) -> None:
    await read_users(stage)
    await stage.run()


async def test_a_notion_id_is_written_back_and_shown(stage: Stage) -> None:
    notion_id = notion_member(stage, 1, "USER_1@Example.com")
    await stage.say("user_1")
    await refresh(stage)
    assert [row["notion_person_id"] for row in await stage.rows("SELECT * FROM users")] == [notion_id]
    assert [row["Person"] for row in stage.pages()] == [[notion_id]]
    await stage.agreed()


async def test_a_notion_user_who_was_listed_before_their_person_came_is_linked_when_they_come(stage: Stage) -> None:
    notion_id = notion_member(stage, 1, "user_1@example.com")
    await refresh(stage)
    await stage.say("user_1")
    await stage.run()
    assert [row["Person"] for row in stage.pages()] == [[notion_id]]
    assert stage.creates == 1
    assert stage.updates == 0


async def test_the_user_list_is_read_again_in_an_hour(stage: Stage) -> None:
    await refresh(stage)
    mark = (await stage.marks())[USERS]
    assert mark["status"] == "due"
    assert 0 <= mark["available_at"] - (stage.clock() + USERS_EVERY_MS) + 1_000 <= 1_000
    stage.clock.skip(USERS_EVERY_MS)
    await stage.run()
    assert stage.sent("GET", "/v1/users") == 2


async def test_the_hourly_list_is_not_overdue_the_moment_it_is_due(stage: Stage) -> None:
    await refresh(stage)
    stage.clock.skip(USERS_EVERY_MS)
    oldest = await stage.database.read(outbox.oldest_due, stage.clock())
    assert oldest is not None
    assert stage.clock() - oldest < 5_000


async def test_everybody_is_read_from_a_list_of_several_pages(stage: Stage) -> None:
    for number in range(230):
        notion_member(stage, number, f"user_{number}@example.com")
    await refresh(stage)
    found = await stage.rows("SELECT count(*) AS found FROM identities WHERE provider = 'notion'")
    assert found == [{"found": 230}]
    assert stage.sent("GET", "/v1/users") == 3


async def test_bots_and_guests_are_nobody(stage: Stage) -> None:
    stage.world.notion.add_user(
        {"object": "user", "id": "00000009-1111-4111-a111-111111111111", "type": "bot", "name": "Bot", "bot": {}}
        | {"avatar_url": None}
    )
    await refresh(stage)
    assert await stage.rows("SELECT * FROM identities WHERE provider = 'notion'") == []


async def test_a_user_who_disappears_from_the_list_is_withdrawn(stage: Stage) -> None:
    notion_id = notion_member(stage, 1, "user_1@example.com")
    await stage.say("user_1")
    await refresh(stage)
    stage.world.notion.remove_user(notion_id)
    await refresh(stage)
    assert [row["notion_person_id"] for row in await stage.rows("SELECT * FROM users")] == [None]
    assert await stage.rows("SELECT * FROM identities WHERE provider = 'notion'") == []
    assert [row["Person"] for row in stage.pages()] == [[]]


async def test_a_user_who_comes_back_is_linked_again(stage: Stage) -> None:
    for _ in range(2):
        notion_id = notion_member(stage, 1, "user_1@example.com")
        await stage.say("user_1")
        await refresh(stage)
        assert [row["Person"] for row in stage.pages()] == [[notion_id]]
        stage.world.notion.remove_user(notion_id)
        await refresh(stage)
        assert [row["Person"] for row in stage.pages()] == [[]]


async def test_a_user_with_a_new_address_moves_to_its_owner(stage: Stage) -> None:
    notion_id = notion_member(stage, 1, "user_1@example.com")
    await stage.say("user_1")
    await stage.say("user_2")
    await refresh(stage)
    notion_member(stage, 1, "user_2@example.com")
    await refresh(stage)
    assert {row["Clerk id"]: row["Person"] for row in stage.pages()} == {"user_1": [], "user_2": [notion_id]}


async def test_an_unchanged_list_writes_nothing(stage: Stage) -> None:
    for number in range(3):
        notion_member(stage, number, f"user_{number}@example.com")
        await stage.say(f"user_{number}")
    await refresh(stage)
    before = await stage.rows("SELECT * FROM identities"), await stage.rows("SELECT * FROM users")
    sent, marks = len(stage.world.requests), await stage.marks()
    stage.clock.skip(USERS_EVERY_MS)
    await stage.run()
    assert (await stage.rows("SELECT * FROM identities"), await stage.rows("SELECT * FROM users")) == before
    assert len(stage.world.requests) == sent + 1
    assert {key: mark for key, mark in (await stage.marks()).items() if key != USERS} == {
        key: mark for key, mark in marks.items() if key != USERS
    }


async def test_who_is_not_in_notion_shows_by_address_and_leaves_a_line(stage: Stage) -> None:
    await stage.say("user_1")
    with capture_logs() as logs:
        await stage.run()
    assert [(row["E-mail"], row["Person"]) for row in stage.pages()] == [("user_1@example.com", [])]
    lines = [line for line in logs if line["event"] == "notion_person_unmapped"]
    assert [line["key"] for line in lines] == [await stage.key("user_1")]
    assert "example.com" not in str(logs)


async def test_who_is_in_notion_leaves_no_such_line(stage: Stage) -> None:
    notion_member(stage, 1, "user_1@example.com")
    await refresh(stage)
    with capture_logs() as logs:
        await stage.say("user_1")
        await stage.run()
    assert [line for line in logs if line["event"] == "notion_person_unmapped"] == []


async def test_a_token_that_may_not_list_users_still_keeps_the_pages(stage: Stage) -> None:
    stage.world.notion.capabilities.read_users = False
    await stage.say("user_1")
    with capture_logs() as logs:
        await refresh(stage)
    await stage.agreed()
    assert not (await stage.gate()).paused
    assert (await stage.marks())[USERS]["available_at"] > stage.clock() + USERS_EVERY_MS - 5_000
    assert [line["log_level"] for line in logs if line["event"] == "notion_users_unreadable"] == ["warning"]


async def test_who_is_deleted_while_nothing_is_shared_with_us_leaves_notion_afterwards(stage: Stage) -> None:
    await stage.say("user_1")
    await stage.run()
    stage.world.faults.add(platform="notion", status=404, times=3)
    await stage.remove("user_1")
    await stage.run()
    assert stage.pages() == []
    assert len(stage.pages(trashed=True)) == 1


async def test_a_surplus_page_that_is_gone_is_looked_for_nowhere(stage: Stage) -> None:
    await stage.database.write(sync.remember, 1, "notion", "page:x", Known(str(uuid4())), stage.clock())
    await stage.database.write(outbox.mark, 1, ("notion",), "page:x", stage.clock())
    await stage.run()
    assert (await stage.marks())["page:x"]["status"] == "settled"
    assert len(stage.world.requests) == 1


async def test_a_surplus_page_is_trashed_once_under_a_key_of_its_own(stage: Stage) -> None:
    await stage.say("user_1")
    await stage.run()
    surplus = stage.world.notion.add_row(
        stage.data_source_id, {"Rollcall key": {"rich_text": [{"text": {"content": await stage.key("user_1")}}]}}
    )
    key = f"page:{surplus}"
    await stage.database.write(sync.remember, 1, "notion", key, Known(surplus), stage.clock())
    await stage.database.write(outbox.mark, 1, ("notion",), key, stage.clock())
    await stage.run()
    await stage.agreed()
    mark = (await stage.marks())[key]
    assert (mark["status"], mark["error"]) == ("settled", None)
    assert stage.updates == 1
    assert await stage.known(key) == {}


async def test_a_key_that_only_looks_equal_is_not_ours(stage: Stage) -> None:
    """Whatever Notion counts as equal: a page is found by exactly its key."""
    for _ in range(2):
        stage.world.notion.add_row(
            stage.data_source_id, {"Rollcall key": {"rich_text": [{"text": {"content": "person:10"}}]}}
        )
    await stage.database.write(
        sync.remember, 1, "notion", "person:1", Known(creating_since=stage.clock()), stage.clock()
    )
    await stage.say("user_1")
    await stage.run()
    assert [row["Rollcall key"] for row in stage.pages()] == ["person:10", "person:10", "person:1"]


async def test_no_name_is_too_long_or_too_odd_for_notion(stage: Stage) -> None:
    await stage.say("user_1", "A" * 3000)
    await stage.say("user_2", 'Zoë 高橋 \u202e \U0001f600 , ; "')
    await stage.say("user_3", email=f"{'a' * 195}@example.com")
    await stage.say("user_4", email=None)
    await stage.run()
    marks = await stage.marks()
    assert {mark["status"] for mark in marks.values()} == {"settled"}, marks
    assert max(len(row["Name"]) for row in stage.pages()) == 2000
    assert [row["E-mail"] for row in stage.pages() if row["Clerk id"] in ("user_3", "user_4")] == [None, None]


async def test_a_whole_cycle_of_many_people_is_one_request_each(stage: Stage) -> None:
    for number in range(60):
        await stage.say(f"user_{number}")
    await stage.run()
    await stage.agreed()
    assert len(stage.world.requests) == 60


async def test_notion_client_tells_no_log_what_was_sent(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        stage.world.faults.add(status=400)
        await stage.say("user_1")
        await stage.run()
    told = " ".join(record.getMessage() for record in caplog.records if "notion" in record.name)
    assert "example.com" not in told
    assert stage.world.notion.token not in " ".join(record.getMessage() for record in caplog.records)
