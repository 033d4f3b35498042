"""What user.created, user.updated and user.deleted make of a person, in any order and in every odd shape (S3)."""

import itertools
from typing import Any

import pytest
from sqlalchemy import Connection

from db.identities import Identity
from handlers.people.recording import record, version
from tests.service.web import SINKS, Json, Serve, Web, fixture

MAREN = "user_3YQ0HmwguACCzm0IQlpj2blcZzl"
EMAIL = "maren.holm@example.com"
NOW = 1_790_000_000_000


def said(
    clerk_id: str = "user_ada",
    email: str | None = "ada@example.com",
    *,
    verified: bool = True,
    updated: int = 0,
    sent: int = 0,
    type_: str = "user.updated",
    **data: Any,
) -> Json:
    """A whole event about one account, with one address; `updated` and `sent` are ms after NOW."""
    message = fixture("clerk/user.updated")
    user = message["data"]
    addresses = [{**user["email_addresses"][0], "id": "idn_1", "email_address": email}] if email else []
    for address in addresses:
        address["verification"] = {"status": "verified" if verified else "unverified"}
    user |= {
        "id": clerk_id,
        "email_addresses": addresses,
        "primary_email_address_id": "idn_1" if email else None,
        "first_name": "Ada",
        "last_name": "Byron",
        "username": None,
        "public_metadata": {},
        "unsafe_metadata": {},
        "created_at": NOW - 1_000,
        "updated_at": NOW + updated,
        **data,
    }
    return message | {"type": type_, "timestamp": NOW + sent}


def deleted(clerk_id: str = "user_ada", at: int = 10) -> Json:
    return {"type": "user.deleted", "object": "event", "data": {"id": clerk_id, "deleted": True}, "timestamp": NOW + at}


async def enrol(web: Web, email: str, *rotations: str, name: str | None = None) -> None:
    """A line of the roster, as its import records it."""
    data: Json = {"rotations": list(rotations), **({"name": name} if name else {})}
    entry = Identity("roster", email, email, email_verified=True, version=version(NOW, 0, b""), data=data)
    assert await web.write(record, entry, web.service.intake.context, NOW)


def rotations(web: Web) -> list[tuple[str, str]]:
    found = web.rows("SELECT email, rotation FROM workspace_members JOIN users ON users.id = user_id ORDER BY 1, 2")
    return [(row["email"], row["rotation"]) for row in found]


# --- the plain course (S3.1, S3.2, S3.3) ---


async def test_a_created_user_is_a_person_with_the_day_and_way_they_signed_up(web: Web) -> None:
    await web.clerk(fixture("clerk/user.created"))
    person = web.person(MAREN)
    assert (person["email"], person["name"]) == (EMAIL, "Maren Hölm-Okafor")
    assert (person["first_name"], person["last_name"]) == ("Maren", "Hölm-Okafor")
    data = web.data(MAREN)
    assert (data["signup_date"], data["signup_source"]) == ("2026-08-31T07:10:12.345Z", "invite")
    assert data["last_clerk_sync"] == "2026-08-31T07:10:13.605Z"
    assert "name_history" not in data


async def test_a_change_of_name_is_kept_once_and_only_when_it_is_one(web: Web) -> None:
    await web.clerk(said())
    await web.clerk(said(updated=1, banned=True))
    assert "name_history" not in web.data("user_ada")
    await web.clerk(said(updated=2, last_name="Lovelace"))
    await web.clerk(said(updated=3, last_name="Lovelace ", image_url="https://img.example.com/new"))
    await web.clerk(said(updated=2, last_name="Lovelace"))
    assert web.data("user_ada")["name_history"] == [
        {"first_name": "Ada", "last_name": "Lovelace", "timestamp": "2026-09-21T14:13:20.002Z"}
    ]


async def test_the_last_fifty_names_are_kept(web: Web) -> None:
    for number in range(53):
        await web.clerk(said(updated=number, last_name=f"Name {number}"))
    names = [entry["last_name"] for entry in web.data("user_ada")["name_history"]]
    assert names == [f"Name {number}" for number in range(3, 53)]


async def test_a_deleted_user_takes_everything_personal_along(web: Web) -> None:
    await web.clerk(said())
    await web.clerk(deleted())
    assert web.people() == web.rows("SELECT * FROM user_data") == []
    tombstone = web.identity("clerk", "user_ada")
    assert (tombstone["deleted_at"], tombstone["data"]) == (NOW + 10, {})
    assert "ada" not in (tombstone["email"] or "")


async def test_nothing_brings_a_deleted_user_back(web: Web) -> None:
    await web.clerk(said())
    await web.clerk(deleted())
    assert await web.clerk(said(updated=1_000)) == "stale"
    assert await web.clerk(said(updated=2_000, type_="user.created")) == "stale"
    assert await web.clerk(deleted(at=5_000)) == "stale"
    assert web.people() == []


async def test_a_deletion_before_the_creation_counts(web: Web) -> None:
    assert await web.clerk(deleted()) == "applied"
    assert await web.clerk(said(type_="user.created")) == "stale"
    assert web.people() == []


async def test_a_deletion_that_names_nobody_is_ignored(web: Web) -> None:
    await web.clerk(said())
    assert await web.clerk(fixture("clerk/edge/deleted_without_id")) == "ignored"
    assert len(web.people()) == 1


async def test_an_address_is_free_again_after_a_deletion(web: Web) -> None:
    await web.clerk(said("user_old"))
    await web.clerk(deleted("user_old"))
    await web.clerk(said("user_new", type_="user.created"))
    assert [(person["clerk_id"], person["email"]) for person in web.people()] == [("user_new", "ada@example.com")]


# --- order ---


async def test_an_update_before_the_creation_counts(web: Web) -> None:
    assert await web.clerk(said(updated=5, first_name="Augusta")) == "applied"
    assert await web.clerk(said(type_="user.created")) == "stale"
    assert web.person("user_ada")["first_name"] == "Augusta"
    assert web.data("user_ada")["signup_date"] == "2026-09-21T14:13:19.000Z"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_newest_update_wins_in_any_order(web: Web, order: tuple[int, ...]) -> None:
    for number in order:
        await web.clerk(said(updated=number, sent=-number, first_name=f"Ada {number}"))
    assert web.person("user_ada")["first_name"] == "Ada 2"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_envelope_decides_between_equal_updates(web: Web, order: tuple[int, ...]) -> None:
    for number in order:
        await web.clerk(said(sent=number, first_name=f"Ada {number}"))
    assert web.person("user_ada")["first_name"] == "Ada 2"


async def test_two_events_of_one_moment_have_one_winner_in_any_order(web: Web) -> None:
    first, second = said(first_name="Ada"), said(first_name="Augusta")
    winners = set()
    for order in ((first, second), (second, first), (first, second, first), (second, first, second)):
        await web.write(_forget)
        for message in order:
            await web.clerk(message)
        winners.add(web.person("user_ada")["first_name"])
    assert len(winners) == 1


def _forget(tx: Connection) -> None:
    for table in ("users", "identities", "webhook_events"):
        tx.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - names of ours


@pytest.mark.parametrize("name", ["user.created", "edge/envelope_timestamp_in_seconds"])
async def test_the_envelope_may_count_seconds_or_milliseconds(web: Web, name: str) -> None:
    message = fixture(f"clerk/{name}")
    await web.clerk(message)
    stamp = message["timestamp"]
    ms = stamp if stamp > 10**11 else stamp * 1000
    assert web.identity("clerk", message["data"]["id"])["version"].split("-")[1] == f"{ms:015d}"
    assert web.data(message["data"]["id"])["last_clerk_sync"].startswith("2026-")


async def test_a_later_second_beats_an_earlier_millisecond(web: Web) -> None:
    await web.clerk(said(first_name="Augusta") | {"timestamp": NOW // 1000 + 1})
    assert await web.clerk(said(sent=999)) == "stale"


# --- odd accounts ---


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("null_names", {"first_name": None, "last_name": None}),
        ("phone_only", {"email": None}),
        ("username_only", {"email": None}),
        ("dangling_primary_address", {"email": None}),
        ("banned", {"status": "banned"}),
        ("locked", {"status": "locked"}),
        ("unknown_extra_fields", {"status": "active"}),
        ("empty_image_url", {"status": "active"}),
    ],
)
async def test_an_odd_account_is_a_person_with_a_name(web: Web, name: str, expected: Json) -> None:
    message = fixture(f"clerk/edge/{name}")
    assert await web.clerk(message) == "applied"
    person = web.person(message["data"]["id"])
    assert person["name"].strip()
    assert "None" not in person["name"]
    assert {key: person[key] for key in expected} == expected


async def test_a_nameless_account_is_called_after_its_address(web: Web) -> None:
    await web.clerk(said(email="ada.king-noel+work@example.com", first_name=None, last_name=None))
    assert web.person("user_ada")["name"] == "Ada King Noel"


async def test_an_account_with_neither_name_nor_address_is_called_by_user_name_or_id(web: Web) -> None:
    await web.clerk(said("user_1", None, first_name="", last_name=None, username="ada99"))
    await web.clerk(said("user_2", None, first_name=None, last_name=" "))
    assert [person["name"] for person in web.people()] == ["ada99", "user_2"]


async def test_the_primary_address_is_the_one_that_is_named_not_the_first(web: Web) -> None:
    message = fixture("clerk/edge/primary_not_first")
    await web.clerk(message)
    first, second = (address["email_address"] for address in message["data"]["email_addresses"])
    assert web.person(message["data"]["id"])["email"] == second != first


async def test_an_address_is_kept_in_lower_case_and_trimmed(web: Web) -> None:
    await web.clerk(said(email=" Ada@EXAMPLE.com "))
    assert web.person("user_ada")["email"] == "ada@example.com"


async def test_an_address_that_cannot_be_one_is_dropped_and_the_event_applies(web: Web) -> None:
    assert await web.clerk(said(email="ada at example")) == "applied"
    assert web.person("user_ada")["email"] is None


@pytest.mark.parametrize("name", ["unverified_address", "null_verification"])
async def test_an_unverified_address_is_shown_and_linked_to_nobody(web: Web, name: str) -> None:
    message = fixture(f"clerk/edge/{name}")
    address = message["data"]["email_addresses"][0]["email_address"]
    joined = fixture("slack/team_join")
    joined["event"]["user"]["profile"]["email"] = address
    await web.slack(joined)
    await web.clerk(message)
    person = web.person(message["data"]["id"])
    assert (person["email"], person["slack_user_id"]) == (address, None)


async def test_standing_follows_clerk(web: Web) -> None:
    standing = []
    for number, change in enumerate([{}, {"banned": True}, {"banned": True, "locked": True}, {"locked": True}, {}]):
        await web.clerk(said(updated=number, **change))
        standing.append(web.person("user_ada")["status"])
    assert standing == ["active", "banned", "banned", "locked", "active"]


async def test_the_role_follows_public_metadata_alone(web: Web) -> None:
    roles = []
    for number, metadata in enumerate([{"role": "admin"}, {"role": "owner"}, {"role": ["admin"]}, {}]):
        await web.clerk(said(updated=number, public_metadata=metadata, unsafe_metadata={"role": "admin"}))
        roles.append(web.person("user_ada")["role"])
    assert roles == ["admin", "member", "member", "member"]


# --- one address, several claims (S3.5) ---


async def test_the_newest_verified_claim_owns_an_address_in_any_order(web: Web) -> None:
    claims = [said(f"user_{number}", "shared@example.com", updated=number) for number in range(3)]
    for order in itertools.permutations(claims):
        await web.write(_forget)
        for message in order:
            await web.clerk(message)
        assert {person["clerk_id"]: person["email"] for person in web.people()} == {
            "user_0": None,
            "user_1": None,
            "user_2": "shared@example.com",
        }


async def test_a_verified_claim_beats_a_newer_unverified_one(web: Web) -> None:
    await web.clerk(said("user_1", updated=0))
    await web.clerk(said("user_2", updated=9, verified=False))
    assert {person["clerk_id"]: person["email"] for person in web.people()} == {
        "user_1": "ada@example.com",
        "user_2": None,
    }


async def test_the_loser_of_an_address_gets_it_when_the_winner_goes(web: Web) -> None:
    await web.clerk(said("user_1", updated=0))
    await web.clerk(said("user_2", updated=9))
    await web.clerk(deleted("user_2"))
    assert [(person["clerk_id"], person["email"]) for person in web.people()] == [("user_1", "ada@example.com")]


async def test_two_people_swap_their_addresses(web: Web) -> None:
    await web.clerk(said("user_1", "one@example.com"))
    await web.clerk(said("user_2", "two@example.com"))
    await web.clerk(said("user_1", "two@example.com", updated=5))
    await web.clerk(said("user_2", "one@example.com", updated=5))
    assert {person["clerk_id"]: person["email"] for person in web.people()} == {
        "user_1": "two@example.com",
        "user_2": "one@example.com",
    }


async def test_what_a_person_has_done_stays_theirs_when_an_address_changes_hands(web: Web) -> None:
    session = fixture("clerk/session.created")
    await enrol(web, "ada@example.com", "AM")
    await web.clerk(said("user_1"))
    await web.clerk(session | {"data": session["data"] | {"user_id": "user_1"}})
    await web.clerk(said("user_2", updated=5))
    assert web.data("user_1")["session_count"] == 1
    assert "session_count" not in web.data("user_2")
    assert rotations(web) == [("ada@example.com", "AM")]


# --- the roster ---


async def test_a_roster_entry_is_a_person_until_clerk_knows_them_and_stays_the_same_row(serve: Serve) -> None:
    async with serve(**SINKS) as web:
        await enrol(web, "ada.byron@example.com", "AM", "Core")
        (before,) = web.people()
        assert (before["name"], before["clerk_id"]) == ("Ada Byron", None)
        await web.clerk(said(email="ada.byron@example.com", first_name="Augusta"))
        (after,) = web.people()
        assert (after["id"], after["clerk_id"], after["name"]) == (before["id"], "user_ada", "Augusta Byron")
        assert rotations(web) == [("ada.byron@example.com", "AM"), ("ada.byron@example.com", "Core")]
        assert web.data("user_ada")["signup_source"] == "admin"
        assert web.marks() == {f"person:{before['id']}": 2}


async def test_an_unverified_claim_on_a_roster_address_takes_nothing(web: Web) -> None:
    await enrol(web, "ada@example.com", "AM", name="Ada of the Roster")
    await web.clerk(said(verified=False))
    assert {(person["clerk_id"], person["email"], person["name"]) for person in web.people()} == {
        (None, "ada@example.com", "Ada of the Roster"),
        ("user_ada", None, "Ada Byron"),
    }
    await web.clerk(said(updated=1))
    assert [(person["clerk_id"], person["email"]) for person in web.people()] == [("user_ada", "ada@example.com")]
    assert rotations(web) == [("ada@example.com", "AM")]


async def test_a_roster_name_fills_in_where_clerk_has_none(web: Web) -> None:
    await enrol(web, "ada@example.com", "AM", name="Ada of the Roster")
    await web.clerk(said(first_name=None, last_name=None))
    assert web.person("user_ada")["name"] == "Ada of the Roster"


async def test_a_deleted_person_does_not_live_on_as_a_roster_entry(web: Web) -> None:
    await enrol(web, "ada@example.com", "AM")
    await web.clerk(said())
    await web.clerk(deleted())
    assert web.people() == rotations(web) == []


async def test_a_roster_entry_whose_person_moved_on_is_a_person_again(web: Web) -> None:
    await enrol(web, "ada@example.com", "AM")
    await web.clerk(said())
    await web.clerk(said(email="other@example.com", updated=5))
    assert {(person["clerk_id"], person["email"]) for person in web.people()} == {
        (None, "ada@example.com"),
        ("user_ada", "other@example.com"),
    }
    assert rotations(web) == [("ada@example.com", "AM")]


async def test_who_moves_on_takes_along_what_is_theirs_and_leaves_the_roster_a_new_row(web: Web) -> None:
    session = fixture("clerk/session.created")
    await enrol(web, "ada@example.com", "AM")
    await web.clerk(said())
    await web.clerk(session | {"data": session["data"] | {"user_id": "user_ada"}})
    before = web.person("user_ada")["id"]
    await web.clerk(said(email="other@example.com", updated=5))
    assert web.person("user_ada")["id"] == before
    assert web.data("user_ada")["session_count"] == 1


async def test_a_late_event_frees_the_roster_address_a_deleted_person_had_left(web: Web) -> None:
    """In order: they moved to another address and were deleted. Heard of: first address, deletion, the move."""
    await enrol(web, "ada@example.com", "AM")
    await web.clerk(said())
    await web.clerk(deleted())
    assert web.people() == []
    assert await web.clerk(said(email="other@example.com", updated=5)) == "stale"
    assert [(person["clerk_id"], person["email"]) for person in web.people()] == [(None, "ada@example.com")]
    assert rotations(web) == [("ada@example.com", "AM")]


async def test_a_new_account_at_a_deleted_persons_address_is_on_the_roster(web: Web) -> None:
    await enrol(web, "ada@example.com", "AM")
    await web.clerk(said("user_old"))
    await web.clerk(deleted("user_old"))
    await web.clerk(said("user_new", updated=20))
    assert [(person["clerk_id"], person["email"]) for person in web.people()] == [("user_new", "ada@example.com")]
    assert rotations(web) == [("ada@example.com", "AM")]


# --- marks ---


async def test_what_nobody_sees_raises_no_mark(serve: Serve) -> None:
    async with serve(**SINKS) as web:
        await web.clerk(said())
        assert web.marks() == {"person:1": 1}
        await web.clerk(said(updated=1, image_url="https://img.example.com/new", last_sign_in_at=NOW))
        await web.clerk(said(updated=2, public_metadata={"feature_flags": {"beta": True}}))
        await web.clerk(said(updated=1, first_name="Late"))
        assert web.marks() == {"person:1": 1}
        await web.clerk(said(updated=3, first_name="Augusta"))
        assert web.marks() == {"person:1": 2}
        await web.clerk(deleted())
        assert web.marks() == {"person:1": 3}


async def test_whoever_loses_an_address_is_marked_too(serve: Serve) -> None:
    async with serve(**SINKS) as web:
        await web.clerk(said("user_1"))
        await web.clerk(said("user_2", updated=5))
        assert web.marks() == {"person:1": 2, "person:2": 1}
