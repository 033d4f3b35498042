"""`rollcall erase`: who asks to be forgotten is, whether they are here or were deleted long ago."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, select

from db import identities, inbox
from db.database import transaction
from db.tables import metadata
from handlers.clerk import events as clerk
from handlers.people.enrolling import enroll
from handlers.people.roster import Entry
from handlers.registry import Context, Message
from handlers.slack import events as slack
from service.intake import accept
from service.sandbox.senders import Platform
from tests.conftest import Rows
from tests.handlers.saying import deleted
from tests.handlers.saying import said as about
from tests.service.cli.conftest import Rollcall, said
from tests.service.web import CLERK_SECRET, Json, fixture, to_body

NOW = 1_790_000_000_000
CONTEXT = Context(sinks=frozenset({"notion"}))
SOURCES = {"clerk": clerk.source((CLERK_SECRET,)), "slack": slack.source(())}
EMAIL = "ada@example.com"
Take = Callable[..., None]
FULL = "SELECT event_id FROM webhook_events WHERE length(body) > 0"


@pytest.fixture
def take(database_url: str) -> Take:
    """An event, as intake takes it."""

    def taken(platform: Platform, message: Json, event_id: str) -> None:
        source, body = SOURCES[platform], to_body(message)
        parsed = source.parse(body, event_id)
        assert isinstance(parsed, Message)
        with transaction(database_url) as tx:
            accept(tx, source, parsed, body, CONTEXT, NOW)

    return taken


def slack_user() -> Json:
    message = fixture("slack/user_change")
    message["event"]["user"]["profile"]["email"] = EMAIL
    message["event"]["user"]["is_email_confirmed"] = True
    return message


def everything(tx: Connection) -> str:
    """All rows of all tables, as text."""
    return "\n".join(str(row) for table in metadata.tables.values() for row in tx.execute(select(table)))


def leftovers(url: str, *words: str) -> list[str]:
    with transaction(url) as tx:
        text = everything(tx)
    return [word for word in words if word in text]


@pytest.mark.parametrize("who", [EMAIL, "user_ada", "1"])
def test_nothing_of_a_person_stays_but_that_the_events_are_known(
    rollcall: Rollcall, take: Take, database_url: str, rows: Rows, who: str
) -> None:
    take("clerk", about(), "msg_1")
    take("slack", slack_user(), "unused")
    take("clerk", about("user_bob", "bob@example.com", first_name="Bob", last_name="Stone"), "msg_2")
    with transaction(database_url) as tx:
        enroll(tx, [Entry(EMAIL, ("AM",), "Ada Byron")], CONTEXT, NOW)
    erased = said(rollcall("erase", who, "--yes", "--json"))
    assert erased["person"] == 1
    assert erased["bodies"] == 2
    assert erased["still_known_by"] == ["clerk", "roster", "slack"]
    assert leftovers(database_url, EMAIL, "Byron", "user_ada") == []
    assert rows("SELECT clerk_id FROM users") == [{"clerk_id": "user_bob"}]
    assert [row["event_id"] for row in rows(FULL)] == ["msg_2"]
    assert {"msg_1", "msg_2"} <= {row["event_id"] for row in rows("SELECT event_id FROM webhook_events")}
    assert rows("SELECT status FROM sync_actions WHERE key = 'person:1'") == [{"status": "due"}]


def test_clerk_brings_back_whom_it_still_knows_and_that_is_said(rollcall: Rollcall, take: Take, rows: Rows) -> None:
    take("clerk", about(), "msg_1")
    assert "Clerk still knows them" in rollcall("erase", EMAIL, "--yes").stderr
    take("clerk", about(updated=1), "msg_2")
    assert len(rows("SELECT * FROM users")) == 1


def test_clerk_cannot_bring_back_whom_it_has_deleted(rollcall: Rollcall, take: Take, rows: Rows) -> None:
    take("clerk", about(), "msg_1")
    rollcall("erase", EMAIL, "--yes")
    take("clerk", deleted(), "msg_2")
    take("clerk", about(updated=1), "msg_3")
    assert rows("SELECT * FROM users") == []


@pytest.mark.parametrize("who", [EMAIL, "user_ada"])
def test_somebody_deleted_long_ago_is_found_by_id_or_by_the_address_they_had(
    rollcall: Rollcall, take: Take, database_url: str, rows: Rows, who: str
) -> None:
    take("clerk", about(), "msg_1")
    take("clerk", deleted(), "msg_2")
    with transaction(database_url) as tx:  # kept by an older version, which named no subjects
        inbox.add(tx, "clerk", "msg_old", "user.updated", to_body(about()), 1)
        inbox.refuse(tx, "clerk", "msg_odd", b'{"email": "ada@example.com"', "no JSON", 1)
        inbox.add(tx, "clerk", "msg_bob", "user.updated", to_body(about("user_bob", "bob@example.com")), 1)
    erased = said(rollcall("erase", who, "--yes", "--json"))
    assert (erased["person"], erased["still_known_by"]) == (None, [])
    expected = ["msg_bob"] if who == EMAIL else ["msg_odd", "msg_bob"]  # without the address it cannot be told
    assert [row["event_id"] for row in rows(FULL)] == expected
    with transaction(database_url) as tx:
        tombstone = identities.get(tx, "clerk", "user_ada")
    assert tombstone
    assert not tombstone.live
    assert tombstone.email == identities.trace(EMAIL)


def test_nobody_is_nothing_to_erase(rollcall: Rollcall) -> None:
    ended = rollcall("erase", "nobody@example.com", "--yes")
    assert ended.exit_code == 1
    assert "nobody is known as nobody@example.com" in ended.stderr


def test_it_asks_first_and_no_means_no(rollcall: Rollcall, take: Take, rows: Rows) -> None:
    take("clerk", about(), "msg_1")
    ended = rollcall("erase", EMAIL, answer="n\n")
    assert ended.exit_code == 1
    assert "Erase Ada Byron (clerk user_ada)?" in ended.stderr
    assert len(rows("SELECT * FROM users")) == len(rows(FULL)) == 1


def test_two_people_who_claim_one_address_are_told_apart(rollcall: Rollcall, take: Take, rows: Rows) -> None:
    take("clerk", about(), "msg_1")
    take("clerk", about("user_eve", EMAIL, verified=False), "msg_2")
    rollcall("erase", "user_ada", "--yes")
    assert [row["clerk_id"] for row in rows("SELECT clerk_id FROM users")] == ["user_eve"]
    assert [row["event_id"] for row in rows(FULL)] == ["msg_2"]


def test_an_emptied_body_is_said_to_be_so(rollcall: Rollcall, take: Take) -> None:
    take("clerk", about(), "msg_1")
    take("clerk", deleted(), "msg_2")
    shown = rollcall("events", "show", "msg_1", "--body")
    assert shown.stdout.count("emptied: it was older than") == 2
    assert said(rollcall("events", "replay", "msg_1", "--json"))[0]["note"] == "not failed, so not run again"
