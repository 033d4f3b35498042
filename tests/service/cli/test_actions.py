"""`rollcall actions`: what goes out can be read, and dead marks made due again."""

from collections.abc import Callable

import pytest

from db import limits, outbox, sync
from db.database import transaction
from tests.service.cli.conftest import Rollcall, said

NOW = 1_790_000_000_000
Put = Callable[..., int]


@pytest.fixture
def put(database_url: str) -> Put:
    """Raises a mark, and brings it to a state; returns its row id."""

    def stored(key: str, status: str | None = None, sink: str = "notion") -> int:
        with transaction(database_url) as tx:
            outbox.mark(tx, 1, (sink,), key, NOW)
            if status:
                (claim,) = outbox.claim(tx, sink, "token", NOW, 1)
                sync.log(tx, claim, at=NOW, duration_ms=7, operation="create", outcome="refused", error="400")
                outbox.settle(tx, claim, NOW, status=status, attempts=6, error="Notion 400: no")
            return next(row["id"] for row in outbox.latest(tx) if row["key"] == key)

    return stored


def test_the_list_can_be_narrowed(rollcall: Rollcall, put: Put) -> None:
    put("person:1", "dead")
    put("alert:x", sink="slack")
    assert [row["key"] for row in said(rollcall("actions", "list", "--status", "dead", "--json"))] == ["person:1"]
    assert [row["key"] for row in said(rollcall("actions", "list", "--sink", "slack", "--json"))] == ["alert:x"]
    assert len(said(rollcall("actions", "list", "--json"))) == 2
    assert "person:1" in rollcall("actions", "list").stdout


def test_one_action_shows_its_attempts(rollcall: Rollcall, put: Put) -> None:
    id_ = put("person:1", "dead")
    shown = said(rollcall("actions", "show", str(id_), "--json"))
    assert (shown["status"], shown["error"]) == ("dead", "Notion 400: no")
    assert [(one["outcome"], one["duration_ms"], one["at"]) for one in shown["log"]] == [
        ("refused", 7, "2026-09-21T14:13:20.000Z")
    ]
    assert f"rollcall actions retry {id_}" in rollcall("actions", "show", str(id_)).stderr


def test_an_unknown_action_is_a_problem(rollcall: Rollcall) -> None:
    ended = rollcall("actions", "show", "99")
    assert (ended.exit_code, ended.stdout) == (1, "")


def test_every_dead_action_is_due_again(rollcall: Rollcall, put: Put) -> None:
    dead = [put("person:1", "dead"), put("person:2", "dead")]
    put("person:3", "settled")
    done = said(rollcall("actions", "retry", "--dead", "--json"))
    assert sorted(one["id"] for one in done) == dead
    due = said(rollcall("actions", "list", "--status", "due", "--json"))
    assert sorted((row["id"], row["attempts"], row["error"]) for row in due) == [(id_, 0, None) for id_ in dead]


def test_a_settled_action_is_left_alone(rollcall: Rollcall, put: Put) -> None:
    id_ = put("person:1", "settled")
    ended = rollcall("actions", "retry", str(id_), "77", "--json")
    assert ended.exit_code == 1
    assert [one["outcome"] for one in said(ended)] == ["left alone: it is settled", "unknown"]


def test_a_paused_sink_is_mentioned(rollcall: Rollcall, put: Put, database_url: str) -> None:
    id_ = put("person:1", "dead")
    with transaction(database_url) as tx:
        limits.pause(tx, "notion", "Notion 503", NOW)
    assert "notion is paused: Notion 503" in rollcall("actions", "retry", str(id_)).stderr


@pytest.mark.parametrize("arguments", [[], ["1", "--dead"]])
def test_retry_wants_actions_or_dead(rollcall: Rollcall, arguments: list[str]) -> None:
    assert rollcall("actions", "retry", *arguments).exit_code == 2


def test_nothing_dead_is_no_problem(rollcall: Rollcall) -> None:
    assert rollcall("actions", "retry", "--dead").exit_code == 0
