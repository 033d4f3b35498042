"""`rollcall events`: the inbox can be read, and failed events run again."""

from collections.abc import Callable

import pytest

from db import inbox, people
from db.database import transaction
from tests.service.cli.conftest import Rollcall, said
from tests.service.web import CLERK_SECRET, fixture, to_body

CLERK = {"CLERK_WEBHOOK_SIGNING_SECRET": CLERK_SECRET}
BODY = to_body(fixture("clerk/user.created"))
Put = Callable[..., int]


@pytest.fixture
def put(database_url: str) -> Put:
    """Stores an event of Clerk's, `failed` if an error is given; returns its row id."""

    def stored(event_id: str, body: bytes = BODY, error: str | None = None) -> int:
        with transaction(database_url) as tx:
            inbox.add(tx, "clerk", event_id, "user.created", body, 1_790_000_000_000)
            event = inbox.find(tx, "clerk", event_id)
            assert event is not None
            if error:
                inbox.fail(tx, event, error, 1_790_000_000_000)
            return event.id

    return stored


def test_the_newest_come_first(rollcall: Rollcall, put: Put) -> None:
    for name in ("msg_a", "msg_b", "msg_c"):
        put(name)
    rows = said(rollcall("events", "list", "--limit", "2", "--json"))
    assert [row["event_id"] for row in rows] == ["msg_c", "msg_b"]
    assert rows[0]["received_at"] == "2026-09-21T14:13:20.000Z"


def test_the_list_can_be_narrowed(rollcall: Rollcall, put: Put) -> None:
    put("msg_a")
    put("msg_b", error="broken")
    assert [row["event_id"] for row in said(rollcall("events", "list", "--status", "failed", "--json"))] == ["msg_b"]
    assert said(rollcall("events", "list", "--source", "slack", "--json")) == []
    for option in ("--status", "--source"):
        refused = rollcall("events", "list", option, "odd")
        assert refused.exit_code == 2
        assert "'failed'" in refused.stderr or "'slack'" in refused.stderr


def test_the_table_shows_an_error_whole(rollcall: Rollcall, put: Put) -> None:
    put("msg_a", error="KeyError: " + "x" * 300)
    assert "x" * 300 in rollcall("events", "list").stdout


@pytest.mark.parametrize("by", ["row", "event"])
def test_one_event_is_found_by_either_id(rollcall: Rollcall, put: Put, by: str) -> None:
    id_ = put("msg_a")
    shown = said(rollcall("events", "show", str(id_) if by == "row" else "msg_a", "--json"))
    assert (shown["id"], shown["event_id"], shown["status"]) == (id_, "msg_a", "applied")


def test_the_body_is_shown_only_when_asked_for(rollcall: Rollcall, put: Put) -> None:
    put("msg_a")
    assert "maren.holm@example.com" not in rollcall("events", "show", "msg_a").stdout
    assert "maren.holm@example.com" in rollcall("events", "show", "msg_a", "--body").stdout
    assert said(rollcall("events", "show", "msg_a", "--body", "--json"))["body"] == fixture("clerk/user.created")


def test_a_body_that_is_no_json_is_shown_all_the_same(rollcall: Rollcall, put: Put) -> None:
    put("msg_a", b"\xff not \x1b[2J json")
    shown = rollcall("events", "show", "msg_a", "--body")
    assert "json" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_an_unknown_event_is_a_problem(rollcall: Rollcall) -> None:
    ended = rollcall("events", "show", "msg_nobody")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "there is no event msg_nobody" in ended.stderr


def test_a_replayed_event_takes_effect(rollcall: Rollcall, put: Put, database_url: str) -> None:
    id_ = put("msg_a", error="broken")
    done = said(rollcall("events", "replay", "msg_a", "--json", **CLERK))
    assert done == [{"id": id_, "source": "clerk", "event_id": "msg_a", "outcome": "applied", "note": None}]
    with transaction(database_url) as tx:
        assert people.find(tx, "maren.holm@example.com") is not None


def test_all_failed_events_run_in_the_order_they_came(rollcall: Rollcall, put: Put) -> None:
    ids = [put("msg_a", error="broken"), put("msg_b", error="broken")]
    put("msg_c")
    done = said(rollcall("events", "replay", "--failed", "--json", **CLERK))
    assert [(one["id"], one["outcome"]) for one in done] == [(ids[0], "applied"), (ids[1], "stale")]


def test_an_event_that_fails_again_ends_with_1(rollcall: Rollcall, put: Put) -> None:
    put("msg_a", b"{", error="broken")
    ended = rollcall("events", "replay", "msg_a", **CLERK)
    assert ended.exit_code == 1
    assert "not JSON" in ended.stdout


def test_a_platform_that_is_off_is_named(rollcall: Rollcall, put: Put) -> None:
    put("msg_a", error="broken")
    ended = rollcall("events", "replay", "msg_a")
    assert ended.exit_code == 1
    assert "clerk is switched off" in ended.stdout


def test_an_event_that_did_not_fail_is_left_alone(rollcall: Rollcall, put: Put) -> None:
    put("msg_a")
    ended = rollcall("events", "replay", "msg_a", "--json", **CLERK)
    assert ended.exit_code == 0
    assert said(ended)[0]["note"] == "not failed, so not run again"


def test_one_unknown_event_does_not_keep_the_others(rollcall: Rollcall, put: Put) -> None:
    put("msg_a", error="broken")
    ended = rollcall("events", "replay", "msg_nobody", "msg_a", "--json", **CLERK)
    assert ended.exit_code == 1
    assert [one["outcome"] for one in said(ended)] == ["unknown", "applied"]


@pytest.mark.parametrize("arguments", [[], ["msg_a", "--failed"]])
def test_replay_wants_events_or_failed(rollcall: Rollcall, arguments: list[str]) -> None:
    assert rollcall("events", "replay", *arguments).exit_code == 2


def test_nothing_failed_is_no_problem(rollcall: Rollcall) -> None:
    assert rollcall("events", "replay", "--failed").exit_code == 0


def test_a_dismissed_event_is_kept_but_minded_no_more(rollcall: Rollcall, put: Put) -> None:
    failed, fine = put("msg_a", error="broken"), put("msg_b")
    assert rollcall("events", "dismiss", str(failed)).exit_code == 0
    assert said(rollcall("events", "show", "msg_a", "--json"))["status"] == "ignored"
    assert said(rollcall("events", "list", "--status", "failed", "--json")) == []
    assert rollcall("events", "dismiss", str(fine), "nobody").exit_code == 1
    assert said(rollcall("events", "show", "msg_b", "--json"))["status"] == "applied"


def test_all_failed_events_can_be_dismissed_at_once(rollcall: Rollcall, put: Put) -> None:
    failed = [put("msg_a", error="broken"), put("msg_b", error="broken")]
    put("msg_c")
    assert said(rollcall("events", "dismiss", "--all", "--json")) == {str(id_): True for id_ in failed}
    assert said(rollcall("events", "list", "--status", "failed", "--json")) == []
    assert "no event is failed" in rollcall("events", "dismiss", "--all").stdout


@pytest.mark.parametrize("arguments", [[], ["msg_a", "--all"]])
def test_dismiss_wants_events_or_all(rollcall: Rollcall, arguments: list[str]) -> None:
    assert rollcall("events", "dismiss", *arguments).exit_code == 2
