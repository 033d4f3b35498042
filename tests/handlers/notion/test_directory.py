"""A person as a Notion page and back, and how a schema that does not fit is described."""

import string
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from db.people import Person
from handlers.notion.directory import (
    KEY,
    SCHEMA,
    from_properties,
    missing_properties,
    page_of,
    schema_differences,
    to_properties,
    wanted_properties,
)
from handlers.notion.sink import NotionSink
from handlers.pages import Page, digest
from tests.stage import Stage, staged

ADA = Person("user_1", "ada@example.com", "Ada Byron", "Ada", "Byron", "U01", None, "admin", "active")
NOBODY = Person(None, None, "x", None, None, None, None, "member", "inactive")
DATA = {"profile": {"title": "Countess"}, "preferences": {"timezone": "Europe/London"}}


@pytest.fixture
async def stage(tmp_path: Path, database_kind: str) -> AsyncIterator[Stage]:
    async with staged(tmp_path, database_kind) as stage:
        yield stage


@pytest.mark.parametrize("page", [page_of(ADA, DATA), page_of(ADA, {}), page_of(NOBODY, {})])
async def test_what_notion_reads_back_is_what_was_written(stage: Stage, page: Page) -> None:
    """Or else reconcile would find a difference that is none, for ever."""
    sink = stage.loop.sink
    assert isinstance(sink, NotionSink)
    await sink._api.create_page(stage.data_source_id, to_properties("person:1", page))
    (read,) = await sink._api.pages(stage.data_source_id)
    assert from_properties(read["properties"]) == ("person:1", page)
    assert digest(from_properties(read["properties"])[1]) == digest(page)


async def test_an_update_empties_what_is_not_known_any_more(stage: Stage) -> None:
    sink = stage.loop.sink
    assert isinstance(sink, NotionSink)
    page_id = await sink._api.create_page(stage.data_source_id, to_properties("person:1", page_of(ADA, DATA)))
    await sink._api.update_page(page_id, to_properties("person:1", page_of(NOBODY, {})))
    (read,) = await sink._api.pages(stage.data_source_id)
    assert from_properties(read["properties"])[1] == page_of(NOBODY, {})


def test_every_property_of_the_schema_is_written() -> None:
    assert to_properties("person:1", page_of(ADA, DATA)).keys() == SCHEMA.keys()
    assert {*page_of(ADA, DATA), KEY} == SCHEMA.keys()


async def test_the_schema_we_make_is_the_schema_we_want(stage: Stage) -> None:
    sink = stage.loop.sink
    assert isinstance(sink, NotionSink)
    found = await sink._api.data_source(stage.data_source_id)
    assert schema_differences(found["properties"]) == []
    assert missing_properties(found["properties"]) == {}


def test_each_difference_of_a_schema_is_named() -> None:
    found = {name: {"type": kind, kind: {}} for name, kind in SCHEMA.items()}
    found["Role"] = {"type": "select", "select": {"options": [{"name": "admin"}]}}
    found["Status"] = {"type": "rich_text", "rich_text": {}}
    del found[KEY]
    assert schema_differences(found) == [
        "'Role' has no option 'member'",
        "'Status' is of type rich_text; it must be select",
        "'Rollcall key' is missing; it must be of type rich_text",
    ]
    assert missing_properties(found) == {KEY: wanted_properties()[KEY]}


@pytest.mark.parametrize("length", [199, 200, 201])
def test_an_address_longer_than_notion_takes_is_left_out(length: int) -> None:
    email = ("a" * length)[: length - 12] + "@example.com"
    person = Person(None, email, "x", None, None, None, None, "member", "active")
    assert page_of(person, {})["E-mail"] == (email if length <= 200 else None)


def test_two_people_in_one_person_property_are_a_difference() -> None:
    users = [{"object": "user", "id": letter} for letter in string.ascii_lowercase[:2]]
    _, page = from_properties({"Person": {"type": "people", "people": users}})
    assert page["Person"] == "a,b"


def test_a_foreign_page_reads_as_one_without_our_key() -> None:
    key, page = from_properties({"Name": {"type": "title", "title": []}})
    assert key is None
    assert set(page.values()) == {None}
