"""Who is deleted leaves the inbox and the logs too, and is known as deleted all the same."""

from pathlib import Path
from unittest.mock import patch

from sqlalchemy import Connection, text

from db import retention, sync
from db.database import transaction
from db.outbox import Claim
from service import context
from tests.handlers.saying import deleted, said
from tests.service.web import Serve, Web, fixture

ADA = "user_ada"
SESSION = fixture("clerk/session.created")


def full(web: Web) -> list[str]:
    """The types of the events that still have a body, in order."""
    return [event["type"] for event in web.events() if event["body"]]


def session(clerk_id: str) -> dict[str, object]:
    return SESSION | {"data": SESSION["data"] | {"user_id": clerk_id}}


def slack_user(email: str) -> dict[str, object]:
    message = fixture("slack/user_change")
    message["event"]["user"]["profile"]["email"] = email
    return message


async def test_a_deletion_empties_every_body_about_that_person_and_no_other(web: Web) -> None:
    await web.clerk(said(), "msg_first")
    await web.clerk(session(ADA))
    await web.slack(slack_user("ada@example.com"))
    await web.clerk(said("user_bob", "bob@example.com"))
    assert await web.clerk(deleted()) == "applied"
    assert full(web) == ["user.updated"]
    assert [event for event in web.events() if b"ada@example.com" in bytes(event["body"])] == []
    assert await web.clerk(said(), "msg_first") == "duplicate"
    assert web.identity("clerk", ADA)["email"].startswith("sha256:")


async def test_a_late_event_about_the_deleted_is_emptied_by_the_next_purge(web: Web) -> None:
    await web.clerk(said())
    await web.clerk(deleted())
    assert await web.clerk(said(updated=-5)) == "stale"
    assert await web.clerk(session(ADA)) == "ignored"
    assert full(web) == ["user.updated", "session.created"]
    await web.write(lambda tx: retention.forget(tx, retention.events_about_the_gone(tx)))
    assert full(web) == []
    assert web.statuses() == ["applied", "applied", "stale", "ignored"]


async def test_sessions_that_waited_for_somebody_who_is_deleted_go_too(web: Web) -> None:
    assert await web.clerk(session(ADA)) == "waiting"
    await web.clerk(deleted())
    assert full(web) == []
    assert web.statuses() == ["ignored", "applied"]


async def test_a_kind_nobody_handles_is_found_by_whom_it_is_about(web: Web) -> None:
    await web.clerk(said())
    await web.clerk(fixture("clerk/edge/unhandled_type") | {"type": "email.created", "data": {"user_id": ADA}})
    await web.clerk(deleted())
    assert full(web) == []


async def test_more_bodies_than_one_transaction_should_empty_are_left_to_the_purge(web: Web) -> None:
    with patch("db.retention.BATCH", 2):
        for number in range(4):
            await web.clerk(said(updated=number))
        before = web.marks("clock")["purge"]
        await web.clerk(deleted())
        assert len(full(web)) == 3
        assert web.marks("clock")["purge"] == before + 1
    await web.write(lambda tx: retention.forget(tx, retention.events_about_the_gone(tx)))
    assert full(web) == []


async def test_what_notion_said_of_the_page_goes_with_the_person(web: Web, database_url: str) -> None:
    await web.clerk(said())
    key = f"person:{web.person(ADA)['id']}"
    with transaction(database_url) as tx:
        claim = Claim(1, 1, "notion", key, 1, 0, None, "t", 1)
        sync.log(tx, claim, at=1, duration_ms=1, operation="update", outcome="refused", error="ada@example.com is odd")
    await web.clerk(deleted())
    assert web.one("SELECT error FROM sync_logs")["error"] is None


async def test_each_feature_is_told_before_the_row_goes(serve: Serve) -> None:
    told = []

    def forget(tx: Connection, user_id: int, now: int) -> None:
        told.append(tx.execute(text("SELECT name FROM users WHERE id = :id"), {"id": user_id}).scalar())
        assert now

    with patch.object(context, "FORGET", (forget,)):
        async with serve() as web:
            await web.clerk(said())
            await web.clerk(deleted())
            await web.clerk(deleted())
    assert told == ["Ada Byron"]


async def test_a_slack_account_that_is_deactivated_is_not_forgotten(web: Web) -> None:
    await web.slack(fixture("slack/edge/deactivated"))
    assert len(full(web)) == 1


def test_the_seam_is_in_one_place() -> None:
    root = Path(context.__file__).parents[1]
    files = [file for folder in ("service", "handlers") for file in (root / folder).rglob("*.py")]
    assert [file.name for file in files if "forget=" in file.read_text(encoding="utf-8")] == ["context.py"]
