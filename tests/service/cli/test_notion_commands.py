"""`rollcall notion …`: the database made or verified, the drift shown and repaired, and the exit codes of each end."""

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from db.database import transaction
from handlers import patience
from handlers.clerk.events import identity_of
from handlers.clerk.payloads import User
from handlers.notion.table import KEY
from handlers.people.recording import record
from handlers.registry import Context
from service.cli.exits import Misuse
from service.cli.notion import PARTS, page_id
from service.sandbox.people import Persona, clerk_user, notion_user, personas
from service.sandbox.world import World, running_in_thread
from tests.conftest import Rows
from tests.service.cli.conftest import Rollcall, said

NOW = 1_790_000_000_000
HEX = "0123456789abcdef0123456789abcdef"
ID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, rollcall: Rollcall) -> Iterator[World]:
    async def pause(_seconds: float) -> None:
        return

    monkeypatch.setattr(patience, "pause", pause)
    with running_in_thread(World(seed=7)) as world:
        monkeypatch.setenv("NOTION_API_TOKEN", world.notion.token)
        monkeypatch.setenv("NOTION_BASE_URL", world.notion_url)
        monkeypatch.setenv("NOTION_REQUESTS_PER_SECOND", "0")
        yield world


@pytest.fixture
def directory(world: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch) -> str:
    """The People database, made by the command; the settings name it."""
    made = said(rollcall("notion", "setup", "--parent", world.notion.parent_page_id, "--json"))
    people = made["databases"][0]
    monkeypatch.setenv(people["setting"], people["data_source_id"])
    world.requests.clear()
    return str(people["data_source_id"])


@pytest.fixture
def cast(directory: str, world: World, database_url: str, rollcall: Rollcall) -> list[Persona]:
    """Six people, the first three of them in Notion's user list; each has their page."""
    cast = personas(random.Random(1), 6, now_ms=NOW)
    for one in cast[:3]:
        world.notion.add_user(notion_user(one))
    with transaction(database_url) as tx:
        everybody(tx, cast)
    assert rollcall("notion", "reconcile").exit_code == 0
    assert len(world.notion.rows(directory)) == 6
    world.requests.clear()
    return cast


def everybody(tx: Connection, cast: list[Persona]) -> None:
    for one in cast:
        said_ = identity_of(User.model_validate(clerk_user(one)), sent_at=0, body=b"")
        record(tx, said_, Context(sinks=frozenset({"notion"})), NOW)


def spoil(world: World, directory: str) -> None:
    """One page edited, one trashed, one too many, one that is nobody's, and a row of somebody's own."""
    edited, trashed, twin, *_ = world.notion.pages_of(directory)
    world.notion.edit(edited["id"], {"Role": {"select": {"name": "admin"}}})
    world.notion.edit(trashed["id"], in_trash=True)
    key = twin["properties"][KEY]["rich_text"][0]["plain_text"]
    for text in (key, "person:99", ""):
        world.notion.add_row(directory, {KEY: {"rich_text": [{"text": {"content": text}}] if text else []}})


DRIFT = {"different": 1, "missing": 1, "duplicate": 1, "orphan": 1, "not ours": 1}

# -- setup --


def test_setup_makes_the_databases_once_and_says_which_lines_to_keep(world: World, rollcall: Rollcall) -> None:
    made = rollcall(
        "notion", "setup", "--parent", f"https://app.notion.com/p/Team-{world.notion.parent_page_id.replace('-', '')}"
    )
    sources = list(world.notion.store.data_sources)
    assert made.exit_code == 0
    expected = [
        line
        for (setting, table), source in zip(PARTS.items(), sources, strict=True)
        for line in (f"made the database {table.title}", f"{setting}={source}")
    ]
    assert made.stdout.splitlines() == expected
    again = rollcall("notion", "setup", "--parent", world.notion.parent_page_id)
    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, "looked at the database Rollcall People")
    assert list(world.notion.store.data_sources) == sources


def test_setup_verifies_the_one_that_is_named(world: World, directory: str, rollcall: Rollcall) -> None:
    verified = rollcall("notion", "setup", "--json")
    assert said(verified)["databases"] == [
        {
            "setting": "NOTION_PEOPLE_DATA_SOURCE_ID",
            "title": "Rollcall People",
            "data_source_id": directory,
            "created": False,
            "differences": [],
        }
    ]
    assert world.requests.writes("notion") == []


def test_setup_names_each_difference_and_fixes_what_can_be_added(
    world: World, directory: str, rollcall: Rollcall
) -> None:
    source = world.notion.store.data_sources[directory]
    del source.schema["Title"], source.schema["Time zone"]
    source.schema["E-mail"] = {**source.schema["E-mail"], "type": "url", "url": {}}
    source.reindex()
    ended = rollcall("notion", "setup")
    assert (ended.exit_code, "'E-mail' is of type url; it must be email" in ended.stderr) == (1, True)
    assert ended.stderr.count("is missing") == 2 + 1  # the last line says what --fix does
    fixed = rollcall("notion", "setup", "--fix")
    assert (fixed.exit_code, fixed.stderr.count("'E-mail' is of type url")) == (1, 1)
    assert {"Title", "Time zone"} <= source.schema.keys()


def test_setup_says_when_the_database_is_not_shared(world: World, directory: str, rollcall: Rollcall) -> None:
    world.notion.unshare(directory)
    for extra in ([], ["--fix"]):
        ended = rollcall("notion", "setup", *extra)
        assert (ended.exit_code, "not shared with the integration" in ended.stderr) == (1, True)


def test_setup_without_a_page_or_a_setting_says_what_to_name(world: World, rollcall: Rollcall) -> None:
    ended = rollcall("notion", "setup")
    assert (ended.exit_code, "--parent PAGE" in ended.stderr) == (2, True)


@pytest.mark.parametrize("command", [("setup", "--parent", ID), ("reconcile",)])
def test_without_a_token_the_setting_is_named(rollcall: Rollcall, command: tuple[str, ...]) -> None:
    ended = rollcall("notion", *command, NOTION_PEOPLE_DATA_SOURCE_ID=ID)
    assert (ended.exit_code, "NOTION_API_TOKEN is not set" in ended.stderr) == (2, True)


@pytest.mark.parametrize("command", [("setup", "--parent", ID), ("reconcile",)])
def test_a_wrong_token_ends_with_4(world: World, rollcall: Rollcall, command: tuple[str, ...]) -> None:
    extra = {"NOTION_PEOPLE_DATA_SOURCE_ID": ID} if command == ("reconcile",) else {}
    ended = rollcall("notion", *command, NOTION_API_TOKEN="ntn_wrong", **extra)
    assert (ended.exit_code, "API token is invalid" in ended.stderr) == (4, True)


@pytest.mark.parametrize(
    "text",
    [
        HEX,
        HEX.upper(),
        ID,
        f"  {ID}\n",
        f"https://app.notion.com/p/{HEX}",
        f"https://app.notion.com/p/Engineering-{HEX}?source=copy_link",
        f"https://app.notion.com/p/Engineering-{ID}",
        f"https://www.notion.so/acme/Caf%C3%A9-face-{HEX}?pvs=4#{'f' * 32}",
        f"https://www.notion.so/{HEX}/",
        f"https://www.notion.so/acme/{'a' * 32}?v={'b' * 32}&p={HEX}&pm=s",
    ],
)
def test_a_pages_link_or_id_is_understood(text: str) -> None:
    assert page_id(text) == ID


@pytest.mark.parametrize(
    "text",
    ["", "Engineering", "https://www.notion.so", HEX[:31], f"x{HEX}", HEX + HEX, "g" * 32, "http://[", f"{HEX}/x"],
)
def test_what_names_no_page_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="names no Notion page"):
        page_id(text)


def test_a_link_that_names_no_page_ends_with_2(world: World, rollcall: Rollcall) -> None:
    ended = rollcall("notion", "setup", "--parent", "https://www.notion.so/Engineering")
    assert (ended.exit_code, "names no Notion page: copy its link" in ended.stderr) == (2, True)
    assert list(world.requests) == []


# -- reconcile --


def test_an_unchanged_directory_agrees_and_is_not_written(
    cast: list[Persona], world: World, rollcall: Rollcall
) -> None:
    done = said(rollcall("notion", "reconcile", "--json"))
    assert (done["people"], done["pages"], done["agreement"]) == (6, 6, 1.0)
    assert done["found"] == done["left"] == {}
    assert world.requests.writes("notion") == []
    assert len(world.requests.to("notion")) == 2


def test_drift_is_shown_and_repaired(cast: list[Persona], directory: str, world: World, rollcall: Rollcall) -> None:
    spoil(world, directory)
    done = said(rollcall("notion", "reconcile", "--json"))
    assert (done["found"], done["left"]) == (DRIFT, {"not ours": 1})
    assert sorted(one["kind"] for one in done["drifts"]) == sorted(DRIFT)
    assert [one["differs"] for one in done["drifts"] if one["kind"] == "different"] == [["Role"]]
    assert (done["people"], done["pages"], done["agreement"]) == (6, 7, 1.0)
    again = rollcall("notion", "reconcile")
    assert (again.exit_code, "6 people, 7 pages, agreement 100.0%" in again.stdout) == (0, True)


def test_a_dry_run_ends_with_1_on_drift_and_writes_nothing(
    cast: list[Persona], directory: str, world: World, rollcall: Rollcall, rows: Rows
) -> None:
    assert rollcall("notion", "reconcile", "--dry-run").exit_code == 0
    spoil(world, directory)
    before = rows("SELECT * FROM sync_actions") + rows("SELECT * FROM sync_status")
    world.requests.clear()
    shown = rollcall("notion", "reconcile", "--dry-run", "--json")
    assert (shown.exit_code, said(shown)["found"]) == (1, DRIFT)
    assert said(shown)["left"] == DRIFT
    assert world.requests.writes("notion") == []
    assert rows("SELECT * FROM sync_actions") + rows("SELECT * FROM sync_status") == before


def test_a_notion_that_stays_away_ends_with_4_and_the_next_run_works(
    cast: list[Persona], directory: str, world: World, rollcall: Rollcall
) -> None:
    spoil(world, directory)
    world.faults.add(platform="notion", path_prefix=f"/v1/data_sources/{directory}", status=503, times=None)
    ended = rollcall("notion", "reconcile")
    assert (ended.exit_code, ended.stdout) == (4, "")
    assert "error: Notion 503" in ended.stderr
    world.faults.calm()
    assert said(rollcall("notion", "reconcile", "--json"))["left"] == {"not ours": 1}


def test_repairs_that_notion_does_not_take_end_with_1_and_the_next_run_finishes_them(
    cast: list[Persona], directory: str, world: World, rollcall: Rollcall
) -> None:
    spoil(world, directory)
    world.faults.add(platform="notion", method="PATCH", status=503, times=None)
    world.faults.add(platform="notion", method="POST", path_prefix="/v1/pages", status=503, times=None)
    ended = rollcall("notion", "reconcile")
    assert ended.exit_code == 1
    world.faults.calm()
    done = said(rollcall("notion", "reconcile", "--json"))
    assert done["left"] == {"not ours": 1}
    assert len(world.notion.rows(directory)) == 7


def test_without_a_database_reconcile_says_how_to_make_one(world: World, rollcall: Rollcall) -> None:
    ended = rollcall("notion", "reconcile")
    assert (ended.exit_code, "rollcall notion setup --parent PAGE" in ended.stderr) == (2, True)


def test_a_database_that_is_gone_ends_with_4(
    cast: list[Persona], directory: str, world: World, rollcall: Rollcall
) -> None:
    world.notion.unshare(directory)
    ended = rollcall("notion", "reconcile")
    assert (ended.exit_code, "not there, or not shared" in ended.stderr) == (4, True)


def test_rebuild_marks_everybody_and_what_is_right_is_not_written(
    cast: list[Persona], directory: str, world: World, rollcall: Rollcall, rows: Rows
) -> None:
    assert said(rollcall("notion", "rebuild", "--json")) == {"marked": 6}
    assert len(rows("SELECT * FROM sync_actions WHERE status = 'due' AND key LIKE 'person:%'")) == 6
    assert rollcall("notion", "reconcile").exit_code == 0
    assert world.requests.writes("notion") == []
