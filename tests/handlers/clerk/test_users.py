"""What user.created, user.updated and user.deleted make of a person, in any order and in every odd shape (S3)."""

import itertools

import pytest

from tests.handlers.saying import NOW, deleted, forget_everything, said
from tests.service.web import SINKS, Json, Serve, Web, fixture

MAREN = "user_3YQ0HmwguACCzm0IQlpj2blcZzl"
EMAIL = "maren.holm@example.com"

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
        await web.write(forget_everything)
        for message in order:
            await web.clerk(message)
        winners.add(web.person("user_ada")["first_name"])
    assert len(winners) == 1


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
