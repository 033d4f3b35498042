"""What session.* events add up to: session_count, last_active and login_history (S3.4)."""

import itertools

import pytest

from handlers.clerk.events import gone, identity_of
from handlers.clerk.importing import record_all
from handlers.clerk.payloads import User
from tests.service.web import Json, Web, fixture

MAREN = "user_3YQ0HmwguACCzm0IQlpj2blcZzl"
NOW = 1_790_000_000_000


def session(kind: str, number: int, at: int, *, began: int | None = None, agent: str | None = "Firefox") -> Json:
    message = fixture(f"clerk/session.{kind}")
    started = NOW + (at if began is None else began)
    message["data"] |= {"id": f"sess_{number}", "created_at": started, "last_active_at": NOW + at}
    message["event_attributes"] = {"http_request": {"client_ip": "192.0.2.7", "user_agent": agent}}
    return message


@pytest.fixture
async def maren(web: Web) -> Web:
    await web.clerk(fixture("clerk/user.created"))
    return web


async def test_only_a_session_that_begins_is_counted(maren: Web) -> None:
    for number, kind in enumerate(("created", "ended", "created", "removed", "revoked")):
        assert await maren.clerk(session(kind, number, number)) == "applied"
    assert maren.data(MAREN)["session_count"] == 2
    assert len(maren.data(MAREN)["login_history"]) == 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_latest_activity_counts_in_any_order(maren: Web, order: tuple[int, ...]) -> None:
    for number in order:
        await maren.clerk(session(("created", "ended", "created")[number], number, number * 1_000))
    data = maren.data(MAREN)
    assert data["last_active"] == "2026-09-21T14:13:22.000Z"
    assert [entry["timestamp"] for entry in data["login_history"]] == [
        "2026-09-21T14:13:20.000Z",
        "2026-09-21T14:13:22.000Z",
    ]


async def test_a_sign_in_says_when_where_and_from_which_device(maren: Web) -> None:
    await maren.clerk(session("created", 1, 5))
    assert maren.data(MAREN)["login_history"] == [
        {"timestamp": "2026-09-21T14:13:20.005Z", "success": True, "device": "Firefox", "ip": "192.0.2.7"}
    ]


@pytest.mark.parametrize("attributes", [None, {}, {"http_request": None}, {"http_request": {"client_ip": None}}])
async def test_a_sign_in_without_a_request_is_kept_without_one(maren: Web, attributes: Json | None) -> None:
    assert await maren.clerk(session("created", 1, 0) | {"event_attributes": attributes}) == "applied"
    assert maren.data(MAREN)["login_history"] == [{"timestamp": "2026-09-21T14:13:20.000Z", "success": True}]


async def test_the_last_fifty_sign_ins_are_kept_and_all_are_counted(maren: Web) -> None:
    for number in reversed(range(53)):
        await maren.clerk(session("created", number, number))
    data = maren.data(MAREN)
    assert data["session_count"] == 53
    stamps = [entry["timestamp"] for entry in data["login_history"]]
    assert (len(stamps), stamps[0], stamps[-1]) == (50, "2026-09-21T14:13:20.003Z", "2026-09-21T14:13:20.052Z")


async def test_a_session_without_times_happened_when_it_was_sent(maren: Web) -> None:
    message = session("created", 1, 0)
    message["data"] |= {"created_at": None, "last_active_at": None}
    assert await maren.clerk(message | {"timestamp": NOW // 1000}) == "applied"
    assert maren.data(MAREN)["last_active"] == "2026-09-21T14:13:20.000Z"


async def test_a_session_that_carries_no_user_object_counts_as_well(web: Web) -> None:
    message = fixture("clerk/edge/session_without_user")
    assert await web.clerk(message) == "waiting"
    user = fixture("clerk/user.created")
    await web.clerk(user | {"data": user["data"] | {"id": message["data"]["user_id"]}})
    assert web.data(message["data"]["user_id"])["session_count"] == 1


async def test_the_user_inside_a_session_is_no_news_about_the_user(maren: Web) -> None:
    await maren.clerk(session("created", 1, 0))
    assert maren.person(MAREN)["last_name"] == "Hölm-Okafor"  # the session's copy is newer, and of another event


async def test_sessions_of_somebody_else_are_not_mine(maren: Web) -> None:
    other = session("created", 1, 0)
    other["data"]["user_id"] = "user_other"
    assert await maren.clerk(other) == "waiting"
    assert "session_count" not in maren.data(MAREN)


async def test_an_import_that_brings_the_person_counts_what_waited(web: Web) -> None:
    await web.clerk(session("created", 1, 0))
    user = User.model_validate(fixture("clerk/user.created")["data"])
    await web.write(record_all, [identity_of(user, sent_at=0, body=b"")], web.service.intake.context, NOW)
    assert web.statuses() == ["applied"]
    assert web.data(MAREN)["session_count"] == 1


async def test_an_import_that_finds_the_person_deleted_lets_go_what_waited(web: Web) -> None:
    await web.clerk(session("created", 1, 0))
    await web.write(record_all, [gone(MAREN, NOW)], web.service.intake.context, NOW)
    assert web.statuses() == ["ignored"]


async def test_a_pending_session_is_nothing_to_us(maren: Web) -> None:
    assert await maren.clerk(session("created", 1, 0) | {"type": "session.pending"}) == "ignored"
