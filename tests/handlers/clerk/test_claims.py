"""One address and several claims on it: accounts, the roster, people deleted and people who moved on (S1.3, S3.5)."""

import itertools

from tests.handlers.saying import deleted, enrol, forget_everything, rotations, said
from tests.service.web import SINKS, Serve, Web, fixture

# --- one address, several claims (S3.5) ---


async def test_the_newest_verified_claim_owns_an_address_in_any_order(web: Web) -> None:
    claims = [said(f"user_{number}", "shared@example.com", updated=number) for number in range(3)]
    for order in itertools.permutations(claims):
        await web.write(forget_everything)
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


async def test_whoever_loses_an_address_is_marked_too(serve: Serve) -> None:
    async with serve(**SINKS) as web:
        await web.clerk(said("user_1"))
        await web.clerk(said("user_2", updated=5))
        assert web.marks() == {"person:1": 2, "person:2": 1}
