"""`rollcall people`: a person is found by any id, with all that is known and where from (S1.4)."""

import json

import pytest

from db import outbox
from db.database import transaction
from db.identities import Identity
from handlers.people.enrolling import enroll
from handlers.people.recording import record, version
from handlers.people.roster import read
from handlers.registry import Context
from tests.service.cli.conftest import Rollcall, said

CONTEXT = Context(sinks=frozenset({"notion"}))
NOW = 1_790_000_000_000
DATA = {"created_at": NOW, "updated_at": NOW, "synced_at": NOW}


def identity(provider: str, external_id: str, email: str | None, *, verified: bool = True, **data: object) -> Identity:
    said_ = {**(DATA if provider == "clerk" else {}), **data}
    return Identity(provider, external_id, email, verified, version(NOW, 0, b""), said_)


@pytest.fixture
def known(database_url: str) -> None:
    """Ada with all her ids, Bob in two rotations, and a Slack user whose address is not verified."""
    with transaction(database_url) as tx:
        for one in (
            identity("clerk", "user_ada", "ada@example.com", first_name="Ada", last_name="Byron"),
            identity("slack", "U0ADA", "ada@example.com", real_name="Ada", title="Countess"),
            identity("notion", "n-ada", "ada@example.com", name="Ada"),
            identity("clerk", "user_bob", "bob@example.com", first_name="Bob"),
            identity("slack", "U0ODD", "bob@example.com", verified=False),
        ):
            record(tx, one, CONTEXT, NOW)
        enroll(tx, read("email,rotations\nbob@example.com,AM;Core\n", "csv"), CONTEXT, NOW, replace=False)


@pytest.mark.parametrize("who", ["1", "user_ada", "Ada@Example.com", "U0ADA", "n-ada"])
@pytest.mark.usefixtures("known")
def test_a_person_is_found_by_any_id(rollcall: Rollcall, who: str) -> None:
    shown = said(rollcall("people", "show", who, "--json"))
    assert shown["person"]["name"] == "Ada Byron"
    assert {
        (one["provider"], one["external_id"], one["email_verified"], one["live"]) for one in shown["identities"]
    } == {
        ("clerk", "user_ada", True, True),
        ("slack", "U0ADA", True, True),
        ("notion", "n-ada", True, True),
    }
    assert shown["data"]["profile"] == {"title": "Countess"}
    assert shown["person"]["created_at"].endswith("Z")
    assert (shown["page"]["page_id"], shown["page"]["pending"]) == (None, True)


@pytest.mark.usefixtures("known")
def test_the_page_in_force_is_shown(rollcall: Rollcall, database_url: str) -> None:
    with transaction(database_url) as tx:
        for claim in outbox.claim(tx, "notion", "token", NOW, 10):
            outbox.settle(tx, claim, NOW, status="settled")
    assert said(rollcall("people", "show", "user_ada", "--json"))["page"]["pending"] is False


@pytest.mark.usefixtures("known")
def test_the_table_shows_what_json_says(rollcall: Rollcall) -> None:
    shown = rollcall("people", "show", "U0ADA")
    assert shown.exit_code == 0
    for text in ("ada@example.com", "user_ada", "n-ada", "Countess", "Notion page"):
        assert text in shown.stdout


@pytest.mark.usefixtures("known")
def test_a_known_id_without_a_person_says_why(rollcall: Rollcall) -> None:
    ended = rollcall("people", "show", "U0ODD")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "slack knows U0ODD, who is linked to nobody: their address is not verified there" in ended.stderr


def test_nobody_is_a_problem(rollcall: Rollcall) -> None:
    ended = rollcall("people", "show", "nobody@example.com")
    assert ended.exit_code == 1
    assert "nobody is known as nobody@example.com" in ended.stderr


@pytest.mark.usefixtures("known")
def test_the_list_is_paged(rollcall: Rollcall) -> None:
    first = rollcall("people", "list", "--limit", "1", "--json")
    assert [one["name"] for one in said(first)] == ["Ada Byron"]
    rest = said(rollcall("people", "list", "--after", "1", "--json"))
    assert [(one["name"], one["rotations"]) for one in rest] == [("Bob", ["AM", "Core"])]
    assert "go on with --after 1" in rollcall("people", "list", "--limit", "1").stderr


@pytest.mark.usefixtures("known")
def test_the_list_can_be_one_rotation(rollcall: Rollcall) -> None:
    assert [one["name"] for one in said(rollcall("people", "list", "--rotation", "Core", "--json"))] == ["Bob"]
    assert said(rollcall("people", "list", "--rotation", "PM", "--json")) == []


@pytest.mark.usefixtures("known")
def test_a_list_for_grep_has_one_line_a_person(rollcall: Rollcall) -> None:
    lines = rollcall("people", "list").stdout.splitlines()
    assert [line for line in lines if "ada@example.com" in line and "n-ada" in line]


def test_a_name_cannot_steer_the_terminal(rollcall: Rollcall, database_url: str) -> None:
    with transaction(database_url) as tx:
        record(tx, identity("clerk", "user_x", None, first_name="\x1b[31m[red]Eve[/red]"), CONTEXT, NOW)
    listed = rollcall("people", "list")
    assert "\x1b" not in listed.stdout
    assert "[red]Eve[/red]" in listed.stdout
    assert json.loads(rollcall("people", "list", "--json").stdout)[0]["first_name"] == "\x1b[31m[red]Eve[/red]"
