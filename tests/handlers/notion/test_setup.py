"""`rollcall notion setup`: one People database under the page, ever; and every difference named (S2.12)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from handlers import patience
from handlers.notion import setup
from handlers.notion.api import NotionApi
from handlers.notion.directory import PEOPLE
from handlers.notion.table import KEY
from handlers.registry import Gone, SinkDown, Unauthorized
from service.sandbox.notion_text import text
from service.sandbox.world import World, running
from tests.stage import no_wait

Waits = list[float]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running(World(seed=7)) as world:
        yield world


@pytest.fixture
async def api(world: World) -> AsyncIterator[NotionApi]:
    api = NotionApi(world.notion.token, world.notion_url, no_wait)
    yield api
    await api.close()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """What was waited for, s; nobody really waits."""
    waited: Waits = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(patience, "pause", pause)
    return waited


@pytest.fixture
async def made(world: World, api: NotionApi) -> str:
    """A People database, as we make it."""
    return (await setup.create(api, world.notion.parent_page_id, PEOPLE)).data_source_id


def databases(world: World) -> int:
    return len(world.notion.store.databases)


def columns(world: World, data_source_id: str) -> dict[str, Any]:
    return world.notion.store.data_sources[data_source_id].schema


async def change(api: NotionApi, data_source_id: str, **properties: Any) -> None:
    """Somebody changes the columns."""
    await api.add_properties(data_source_id, properties)


async def test_the_database_has_every_column_of_its_type_with_its_options(world: World, api: NotionApi) -> None:
    made = await setup.create(api, world.notion.parent_page_id, PEOPLE)
    assert (made.created, made.differences) == (True, [])
    found = columns(world, made.data_source_id)
    assert {name: one["type"] for name, one in found.items()} == PEOPLE.schema
    for name, options in PEOPLE.options.items():
        assert tuple(option["name"] for option in found[name]["select"]["options"]) == options
    (database,) = world.notion.store.databases.values()
    assert database.parent == {"type": "page_id", "page_id": world.notion.parent_page_id}
    assert world.notion.data_source_named(PEOPLE.title).id == made.data_source_id


async def test_a_second_setup_finds_the_first_one(world: World, api: NotionApi, made: str) -> None:
    again = await setup.create(api, world.notion.parent_page_id.replace("-", ""), PEOPLE)
    assert again == setup.Schema(made)
    assert databases(world) == 1


async def test_a_database_of_that_name_under_another_page_is_not_ours(world: World, api: NotionApi, made: str) -> None:
    other = world.notion.store.new_page({"type": "workspace", "workspace": True}, {"title": text("Elsewhere")})
    again = await setup.create(api, other.id, PEOPLE)
    assert again.created
    assert again.data_source_id != made


async def test_one_that_lies_in_the_trash_is_not_taken_for_ours(world: World, api: NotionApi, made: str) -> None:
    world.notion.store.data_sources[made].in_trash = True
    assert (await setup.create(api, world.notion.parent_page_id, PEOPLE)).created
    differences = (await setup.verify(api, made, PEOPLE)).differences
    assert differences == ["it is in the trash: restore it in Notion"]


async def test_each_difference_is_named(world: World, api: NotionApi, made: str) -> None:
    await change(
        api,
        made,
        Title=None,
        Role={"select": {"options": [{"name": "admin"}, {"name": "owner"}]}},
        Name={"name": "Person name"},
        **{"E-mail": {"rich_text": {}}, KEY: None, "Hobby": {"rich_text": {}}},
    )
    assert (await setup.verify(api, made, PEOPLE)).differences == [
        "the title column is called 'Person name'; rename it to 'Name' in Notion",
        "'E-mail' is of type rich_text; it must be email",
        "'Title' is missing; it must be of type rich_text",
        "'Role' has no option 'member'",
        "'Rollcall key' is missing; it must be of type rich_text",
    ]


async def test_one_that_is_not_shared_or_not_there_is_named(world: World, api: NotionApi, made: str) -> None:
    world.notion.unshare(made)
    for id_ in (made, "0c0d52a1-93be-4f0e-a8d4-1f6b2c9e5d30"):
        (difference,) = (await setup.verify(api, id_, PEOPLE)).differences
        assert "does not exist, or is not shared" in difference
        assert await setup.add_missing(api, id_, PEOPLE) == []


async def test_a_fix_adds_what_is_missing_and_touches_nothing_else(world: World, api: NotionApi, made: str) -> None:
    role = {"select": {"options": [{"name": "admin", "color": "red"}, {"name": "owner"}]}}
    await change(api, made, Role=role, Title=None, **{"E-mail": {"rich_text": {}}, KEY: None})
    kept = {name: one["id"] for name, one in columns(world, made).items()}
    before = columns(world, made)["Role"]["select"]["options"]
    assert await setup.add_missing(api, made, PEOPLE) == ["Role", "Rollcall key", "Title"]
    found = columns(world, made)
    assert {name: found[name]["id"] for name in kept} == kept
    assert found["Role"]["select"]["options"][:2] == before
    assert [option["name"] for option in found["Role"]["select"]["options"]] == ["admin", "owner", "member"]
    assert (await setup.verify(api, made, PEOPLE)).differences == ["'E-mail' is of type rich_text; it must be email"]


async def test_a_fix_makes_no_second_title(world: World, api: NotionApi, made: str) -> None:
    await change(api, made, Name={"name": "Person name"}, Title=None)
    assert await setup.add_missing(api, made, PEOPLE) == ["Title"]
    assert [one["name"] for one in columns(world, made).values() if one["type"] == "title"] == ["Person name"]


async def test_what_fits_is_not_written(world: World, api: NotionApi, made: str) -> None:
    world.requests.clear()
    assert await setup.add_missing(api, made, PEOPLE) == []
    assert world.requests.writes("notion") == []


@pytest.mark.parametrize(
    "how",
    [
        {"status": 503, "committed": True},
        {"status": 503, "committed": True, "named": True},
        {"status": 504, "committed": True},
        {"kind": "drop", "committed": True},
        {"kind": "garbage", "committed": True},
        {"kind": "html", "status": 502, "committed": True},
    ],
)
async def test_a_database_made_without_an_answer_is_found_and_not_made_twice(
    world: World, api: NotionApi, how: dict[str, Any]
) -> None:
    world.faults.add(platform="notion", method="POST", path_prefix="/v1/databases", **how)
    made = await setup.create(api, world.notion.parent_page_id, PEOPLE)
    assert (made.created, made.differences) == (True, [])
    assert databases(world) == 1
    assert await setup.create(api, world.notion.parent_page_id, PEOPLE) == setup.Schema(made.data_source_id)


async def test_one_that_shows_late_is_waited_for(world: World, api: NotionApi, waits: Waits) -> None:
    world.faults.add(platform="notion", method="POST", path_prefix="/v1/databases", status=503, committed=True)
    world.faults.add(platform="notion", path_prefix="/v1/search", skip=1, times=3)
    assert (await setup.create(api, world.notion.parent_page_id, PEOPLE)).created
    assert (databases(world), waits) == (1, [1.0, 2.0, 4.0])


async def test_where_nobody_knows_whether_it_was_made_no_second_one_is_asked_for(world: World, api: NotionApi) -> None:
    world.faults.add(platform="notion", method="POST", path_prefix="/v1/databases", status=503, times=None)
    with pytest.raises(SinkDown, match="run this again"):
        await setup.create(api, world.notion.parent_page_id, PEOPLE)
    assert len(world.requests.to("notion", "POST", "/v1/databases")) == 1
    world.faults.calm()
    assert (await setup.create(api, world.notion.parent_page_id, PEOPLE)).created
    assert databases(world) == 1


async def test_a_create_that_was_only_too_early_is_sent_again(world: World, api: NotionApi, waits: Waits) -> None:
    world.faults.add(platform="notion", method="POST", path_prefix="/v1/databases", status=429, retry_after=9)
    assert (await setup.create(api, world.notion.parent_page_id, PEOPLE)).created
    assert (databases(world), waits) == (1, [9.0])


async def test_a_page_that_is_not_shared_is_said_at_once(world: World, api: NotionApi, waits: Waits) -> None:
    world.notion.unshare(world.notion.parent_page_id)
    with pytest.raises(Gone, match="shared with your integration"):
        await setup.create(api, world.notion.parent_page_id, PEOPLE)
    assert (databases(world), waits) == (0, [])


async def test_a_token_or_a_capability_that_lacks_is_said_at_once(world: World, api: NotionApi, waits: Waits) -> None:
    world.notion.capabilities.insert_content = False
    with pytest.raises(Unauthorized, match="403"):
        await setup.create(api, world.notion.parent_page_id, PEOPLE)
    world.notion.token = "ntn_another"
    with pytest.raises(Unauthorized, match="401"):
        await setup.create(api, world.notion.parent_page_id, PEOPLE)
    assert (databases(world), waits) == (0, [])
