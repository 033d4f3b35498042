"""`rollcall import …` as its user sees it: counts on stdout, sentences on stderr, and the documented exit codes."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from db import people
from db.database import transaction
from handlers import patience
from handlers.people import roster
from service.cli import imports
from service.sandbox.people import clerk_user, personas, slack_user
from service.sandbox.world import World, running_in_thread
from tests.conftest import Rows
from tests.service.cli.conftest import Rollcall, said

ROSTER = "email,name,rotations\nada@example.com,Ada Byron,AM;Core\nbob@example.com,,PM\n"


@pytest.fixture
def world() -> Iterator[World]:
    with running_in_thread(World(seed=3)) as world:
        yield world


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pause(_seconds: float) -> None:
        return

    monkeypatch.setattr(patience, "pause", pause)
    monkeypatch.setattr(imports, "CLERK_INTERVAL_MS", 0)


@pytest.fixture
def connected(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The settings name this world; twelve people are in it."""
    for person in personas(random.Random(1), 12, now_ms=1_790_000_000_000):
        world.admit(person)
    monkeypatch.setenv("CLERK_SECRET_KEY", world.clerk.secret_key)
    monkeypatch.setenv("CLERK_BASE_URL", world.clerk_url)
    monkeypatch.setenv("SLACK_BOT_TOKEN", world.slack.token)
    monkeypatch.setenv("SLACK_BASE_URL", world.slack_url)
    return world


# -- Clerk and Slack --


def test_everybody_comes_from_clerk_and_is_linked_to_slack(rollcall: Rollcall, connected: World, rows: Rows) -> None:
    counts = {"listed": 12, "recorded": 12, "stale": 0, "deleted": 0, "skipped": 0, "resumed": False}
    assert said(rollcall("import", "clerk", "--json")) == counts
    assert said(rollcall("import", "slack", "--json")) == counts
    linked = rows("SELECT count(*) AS n FROM users WHERE clerk_id IS NOT NULL AND slack_user_id IS NOT NULL")
    assert linked == [{"n": 12}]


@pytest.mark.parametrize("source", ["clerk", "slack"])
def test_a_repeat_says_that_nothing_was_news(rollcall: Rollcall, connected: World, source: str) -> None:
    rollcall("import", source)
    again = rollcall("import", source)
    assert (again.exit_code, "stale     12" in again.stdout) == (0, True)
    assert "stale: what was known already is as new or newer" in again.stderr


def test_who_clerk_deleted_is_counted(rollcall: Rollcall, connected: World) -> None:
    rollcall("import", "clerk")
    connected.clerk.delete(next(iter(connected.clerk.users)))
    assert said(rollcall("import", "clerk", "--json"))["deleted"] == 1


def test_an_import_that_was_cut_off_says_that_it_went_on(
    rollcall: Rollcall, connected: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in personas(random.Random(2), 600, now_ms=1_780_000_000_000):
        connected.clerk.put(clerk_user(person))
    connected.faults.add(platform="clerk", status=503, skip=1, times=None)
    assert rollcall("import", "clerk").exit_code == 4
    connected.faults.calm()
    done = said(rollcall("import", "clerk", "--json"))
    assert done["resumed"] is True
    assert done["listed"] < 200


@pytest.mark.parametrize(("source", "name"), [("clerk", "CLERK_SECRET_KEY"), ("slack", "SLACK_BOT_TOKEN")])
def test_without_its_secret_an_import_names_the_setting(rollcall: Rollcall, source: str, name: str) -> None:
    ended = rollcall("import", source)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert f"{name} is not set" in ended.stderr


@pytest.mark.parametrize(
    ("source", "environment", "sentence"),
    [
        ("clerk", {"CLERK_SECRET_KEY": "sk_test_wrong"}, "CLERK_SECRET_KEY: copy it again"),
        ("slack", {"SLACK_BOT_TOKEN": "xoxb-wrong"}, "Slack: invalid_auth: copy SLACK_BOT_TOKEN again"),
    ],
)
def test_a_wrong_secret_ends_with_4_and_what_to_do(
    rollcall: Rollcall, connected: World, source: str, environment: dict[str, str], sentence: str
) -> None:
    ended = rollcall("import", source, **environment)
    assert (ended.exit_code, ended.stdout) == (4, "")
    assert sentence in " ".join(ended.stderr.split())


@pytest.mark.parametrize("source", ["clerk", "slack"])
def test_a_platform_that_stays_away_ends_with_4(rollcall: Rollcall, connected: World, source: str) -> None:
    connected.faults.add(platform=source, status=503, times=None)
    ended = rollcall("import", source)
    assert ended.exit_code == 4
    assert ended.stderr.splitlines()[-1].startswith(f"error: {source.title()}")


def test_a_missing_scope_ends_with_4_and_what_to_do(rollcall: Rollcall, connected: World) -> None:
    connected.slack.scopes = {"chat:write"}
    ended = rollcall("import", "slack")
    assert ended.exit_code == 4
    assert "give the app users:read and users:read.email under OAuth & Permissions" in " ".join(ended.stderr.split())


# -- the roster --


def test_a_roster_is_taken_and_shown_by_rotation(rollcall: Rollcall, folder: Path, database_url: str) -> None:
    (folder / "roster.csv").write_text(ROSTER, encoding="utf-8")
    done = said(rollcall("import", "roster", "roster.csv", "--json"))
    assert done == {"added": 2, "changed": 0, "unchanged": 0, "removed": 0, "retired": 0}
    assert said(rollcall("import", "roster", "roster.csv", "--json"))["unchanged"] == 2
    with transaction(database_url) as tx:
        assert [row["name"] for row in people.in_rotation(tx, 1, "Core")] == ["Ada Byron"]
        assert [row["name"] for row in people.in_rotation(tx, 1, "PM")] == ["Bob"]


@pytest.mark.parametrize("name", ["out.csv", "out.yaml", "out.YML"])
def test_an_export_is_the_reverse_of_an_import(rollcall: Rollcall, folder: Path, name: str) -> None:
    (folder / "roster.csv").write_text("\ufeff" + ROSTER, encoding="utf-8")
    rollcall("import", "roster", "roster.csv")
    assert said(rollcall("import", "roster", name, "--export", "--json")) == {"file": name, "people": 2}
    again = said(rollcall("import", "roster", name, "--replace", "--json"))
    assert again == {"added": 0, "changed": 0, "unchanged": 2, "removed": 0, "retired": 0}
    if name == "out.csv":
        assert (folder / name).read_text(encoding="utf-8") == ROSTER


def test_a_replaced_roster_forgets_the_others(rollcall: Rollcall, folder: Path, rows: Rows) -> None:
    (folder / "two.csv").write_text(ROSTER, encoding="utf-8")
    (folder / "one.yaml").write_text("bob@example.com: PM\n", encoding="utf-8")
    rollcall("import", "roster", "two.csv")
    assert said(rollcall("import", "roster", "one.yaml", "--json"))["removed"] == 0
    assert said(rollcall("import", "roster", "one.yaml", "--replace", "--json"))["removed"] == 1
    assert rows("SELECT email FROM users") == [{"email": "bob@example.com"}]


def test_a_bad_roster_imports_nothing_and_names_every_line(rollcall: Rollcall, folder: Path, rows: Rows) -> None:
    (folder / "roster.csv").write_text(f"{ROSTER}cy,,AM\ndee@example.com,,Night\n", encoding="utf-8")
    ended = rollcall("import", "roster", "roster.csv")
    assert ended.exit_code == 2
    assert ended.stderr.splitlines() == [
        "error: line 4: 'cy' is not an e-mail address",
        "error: line 5: 'Night' is no rotation; write AM, Core, PM",
        "error: nothing was imported from roster.csv",
    ]
    assert rows("SELECT * FROM users") == []


def test_a_retired_entry_is_explained(rollcall: Rollcall, connected: World, folder: Path) -> None:
    ada = replace(personas(random.Random(9), 1, now_ms=1_790_000_000_000)[0], email="ada@example.com")
    connected.clerk.put(clerk_user(ada))
    rollcall("import", "clerk")
    connected.clerk.delete(ada.clerk_id)
    rollcall("import", "clerk")
    (folder / "roster.csv").write_text(ROSTER, encoding="utf-8")
    done = rollcall("import", "roster", "roster.csv")
    assert (done.exit_code, "retired    1" in done.stdout) == (0, True)
    assert "these addresses belong to people deleted in Clerk" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("roster.txt", b"", "name it .csv or .yaml"),
        ("roster.csv", None, "cannot be read: No such file"),
        ("roster.csv", "email,rotations\nada@example.com,AM".encode("utf-16"), "it is not UTF-8"),
        ("roster.csv", b"", "line 1: the header must be email,name,rotations"),
        ("roster.yaml", b"", "the file names nobody"),
        ("roster.yaml", b"a" * (4 * roster.LONGEST + 1), "is too large for a roster"),
    ],
)
def test_a_file_that_is_no_roster_ends_with_2(
    rollcall: Rollcall, folder: Path, name: str, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (folder / name).write_bytes(content)
    ended = rollcall("import", "roster", name)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert sentence in " ".join(ended.stderr.split())


def test_export_and_replace_exclude_each_other(rollcall: Rollcall, folder: Path) -> None:
    assert rollcall("import", "roster", "roster.csv", "--export", "--replace").exit_code == 2
    assert not (folder / "roster.csv").exists()


def test_an_export_that_cannot_be_written_ends_with_2(rollcall: Rollcall, folder: Path) -> None:
    ended = rollcall("import", "roster", "no/such/folder/roster.csv", "--export")
    assert (ended.exit_code, "cannot be written: No such file" in ended.stderr) == (2, True)


def test_a_slack_member_joins_somebody_of_the_roster(
    rollcall: Rollcall, connected: World, folder: Path, rows: Rows
) -> None:
    ada = replace(personas(random.Random(9), 1, now_ms=1_790_000_000_000)[0], email="ada@example.com")
    connected.slack.put(slack_user(ada, updated_s=1_790_000_000))
    (folder / "roster.csv").write_text("email,rotations\nada@example.com,AM\n", encoding="utf-8")
    rollcall("import", "roster", "roster.csv")
    rollcall("import", "slack")
    assert rows("SELECT name, slack_user_id FROM users") == [{"name": ada.name, "slack_user_id": ada.slack_id}]
