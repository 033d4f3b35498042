"""`rollcall import roster` and `--export`: who is in which rotation, safe to repeat and to take back (S1.3)."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text

from db import people
from db.database import transaction
from db.identities import Identity
from handlers.clerk.events import gone
from handlers.people.enrolling import Enrolled, enroll, roster
from handlers.people.recording import record, version
from handlers.people.roster import FORMATS, Entry, read, write
from handlers.registry import Context

NOW = 1_790_000_000_000
CONTEXT = Context(sinks=frozenset({"notion"}))
ADA, BOB, CY = "ada.byron@example.com", "bob@example.com", "cy_young-two+x@example.com"
THREE = [Entry(ADA, ("AM", "Core")), Entry(BOB, ("PM",)), Entry(CY, ("AM",))]


@pytest.fixture
def tx(database_url: str) -> Iterator[Connection]:
    with transaction(database_url) as tx:
        yield tx


def take(tx: Connection, *entries: Entry, now: int = NOW, replace: bool = False) -> Enrolled:
    return enroll(tx, list(entries), CONTEXT, now, replace=replace)


def clerk(tx: Connection, clerk_id: str, email: str, *, verified: bool = True, at: int = NOW, **data: Any) -> None:
    said = {"created_at": at, "updated_at": at, "synced_at": at, **data}
    record(tx, Identity("clerk", clerk_id, email, verified, version(at, 0, b""), said), CONTEXT, at)


def rows(tx: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in tx.execute(text("SELECT * FROM users ORDER BY id")).mappings()]


def person(tx: Connection, email: str) -> dict[str, Any]:
    found = people.find(tx, email)
    assert found is not None
    return found


def in_rotation(tx: Connection, name: str) -> list[str]:
    return sorted(row["email"] or row["clerk_id"] for row in people.in_rotation(tx, 1, name))


def dump(tx: Connection) -> list[list[tuple[Any, ...]]]:
    tables = ("users", "user_data", "identities", "workspace_members", "sync_actions")
    return [sorted(map(repr, tx.execute(text(f"SELECT * FROM {t}")))) for t in tables]  # noqa: S608


def test_everybody_of_the_file_is_a_person_in_their_rotations(tx: Connection) -> None:
    assert take(tx, *THREE) == Enrolled(added=3, changed=0, unchanged=0, removed=0, retired=0)
    assert [in_rotation(tx, name) for name in ("AM", "Core", "PM")] == [[ADA, CY], [ADA], [BOB]]
    assert people.rotations(tx, 1, [person(tx, ADA)["id"]]) == {person(tx, ADA)["id"]: ["AM", "Core"]}


def test_a_name_is_made_of_the_address_until_a_real_one_is_known(tx: Connection) -> None:
    take(tx, *THREE, Entry("dee@example.com", ("AM",), "Dee Dee"))
    assert [row["name"] for row in rows(tx)] == ["Ada Byron", "Bob", "Cy Young Two", "Dee Dee"]
    clerk(tx, "user_ada", ADA, first_name="Augusta", last_name="King")
    clerk(tx, "user_dee", "dee@example.com")
    assert (person(tx, ADA)["name"], person(tx, "dee@example.com")["name"]) == ("Augusta King", "Dee Dee")


def test_a_file_read_twice_changes_nothing(tx: Connection) -> None:
    take(tx, *THREE)
    before = dump(tx)
    assert take(tx, *THREE, now=NOW + 1) == Enrolled(added=0, changed=0, unchanged=3, removed=0, retired=0)
    assert dump(tx) == before


def test_only_who_changed_is_changed(tx: Connection) -> None:
    take(tx, *THREE)
    done = take(tx, THREE[0], Entry(BOB, ("Core",)), now=NOW + 1)
    assert done == Enrolled(added=0, changed=1, unchanged=1, removed=0, retired=0)
    assert [in_rotation(tx, name) for name in ("AM", "Core", "PM")] == [[ADA, CY], [ADA, BOB], []]


@pytest.mark.parametrize("later", [0, -86_400_000], ids=["in the same ms", "with a clock set back"])
def test_a_newer_file_counts_whatever_the_clock_says(tx: Connection, later: int) -> None:
    for number, name in enumerate(("AM", "PM", "Core", "AM", "PM")):
        take(tx, Entry(ADA, (name,)), now=NOW + number * later)
        assert roster(tx) == [Entry(ADA, (name,))]
        assert in_rotation(tx, name) == [ADA]


def test_who_is_not_in_the_file_stays_unless_it_replaces_the_roster(tx: Connection) -> None:
    take(tx, *THREE)
    assert take(tx, THREE[1], now=NOW + 1).removed == 0
    assert take(tx, THREE[1], now=NOW + 2, replace=True) == Enrolled(0, 0, 1, removed=2, retired=0)
    assert [row["email"] for row in rows(tx)] == [BOB]
    assert in_rotation(tx, "AM") == []


def test_who_was_replaced_can_come_back(tx: Connection) -> None:
    take(tx, *THREE)
    take(tx, THREE[1], now=NOW + 1, replace=True)
    assert take(tx, *THREE, now=NOW + 2) == Enrolled(added=2, changed=0, unchanged=1, removed=0, retired=0)
    assert [in_rotation(tx, name) for name in ("AM", "Core", "PM")] == [[ADA, CY], [ADA], [BOB]]


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_imported_again_is_the_same_roster(tx: Connection, form: str) -> None:
    take(tx, *THREE, Entry("dee@example.com", ("PM",), "Dee, »the« Dee"))
    exported = write(roster(tx), form)
    before = dump(tx)
    assert take(tx, *read(exported, form), now=NOW + 1, replace=True) == Enrolled(
        0, 0, unchanged=4, removed=0, retired=0
    )
    assert dump(tx) == before
    take(tx, Entry("eve@example.com", ("AM",)), now=NOW + 2, replace=True)
    take(tx, *read(exported, form), now=NOW + 3, replace=True)
    assert write(roster(tx), form) == exported


def test_a_verified_address_makes_entry_and_clerk_user_one_person(tx: Connection) -> None:
    take(tx, *THREE)
    kept = person(tx, ADA)["id"]
    clerk(tx, "user_ada", ADA)
    assert (person(tx, ADA)["id"], person(tx, ADA)["clerk_id"], len(rows(tx))) == (kept, "user_ada", 3)
    assert in_rotation(tx, "AM") == [ADA, CY]


def test_an_unverified_address_does_not(tx: Connection) -> None:
    take(tx, THREE[0])
    clerk(tx, "user_ada", ADA, verified=False)
    assert [(row["clerk_id"], row["email"]) for row in rows(tx)] == [(None, ADA), ("user_ada", None)]
    assert in_rotation(tx, "AM") == [ADA]


def test_once_verified_the_rotations_are_on_the_surviving_row(tx: Connection) -> None:
    clerk(tx, "user_ada", ADA, verified=False)
    take(tx, THREE[0])
    assert len(rows(tx)) == 2
    clerk(tx, "user_ada", ADA, at=NOW + 1)
    (row,) = rows(tx)
    assert (row["clerk_id"], row["email"]) == ("user_ada", ADA)
    members = [
        tuple(one) for one in tx.execute(text("SELECT user_id, rotation FROM workspace_members ORDER BY rotation"))
    ]
    assert members == [(row["id"], "AM"), (row["id"], "Core")]


def test_whose_address_moved_on_leaves_the_rotations_behind(tx: Connection) -> None:
    take(tx, THREE[0])
    clerk(tx, "user_ada", ADA)
    clerk(tx, "user_ada", "other@example.com", at=NOW + 1)
    assert in_rotation(tx, "AM") == [ADA]
    assert person(tx, ADA)["clerk_id"] is None
    assert person(tx, "other@example.com")["clerk_id"] == "user_ada"


def test_a_clerk_user_taken_off_the_roster_stays_without_rotations(tx: Connection) -> None:
    clerk(tx, "user_ada", ADA)
    take(tx, *THREE)
    take(tx, THREE[1], now=NOW + 1, replace=True)
    assert person(tx, ADA)["clerk_id"] == "user_ada"
    assert in_rotation(tx, "AM") == []


def test_an_entry_of_somebody_clerk_deleted_is_kept_and_is_nobody(tx: Connection) -> None:
    clerk(tx, "user_ada", ADA)
    record(tx, gone("user_ada", NOW + 1), CONTEXT, NOW + 1)
    assert take(tx, *THREE, now=NOW + 2) == Enrolled(added=3, changed=0, unchanged=0, removed=0, retired=1)
    assert people.find(tx, ADA) is None
    assert in_rotation(tx, "AM") == [CY]
    assert [entry.email for entry in roster(tx)] == [ADA, BOB, CY]
    assert take(tx, *THREE, now=NOW + 3).retired == 1


def test_a_new_account_with_a_retired_address_is_in_its_rotations_again(tx: Connection) -> None:
    clerk(tx, "user_ada", ADA)
    take(tx, THREE[0])
    record(tx, gone("user_ada", NOW + 1), CONTEXT, NOW + 1)
    assert rows(tx) == []
    clerk(tx, "user_ada_again", ADA, at=NOW + 2)
    assert person(tx, ADA)["clerk_id"] == "user_ada_again"


def test_the_signup_of_roster_people_is_the_administrators(tx: Connection) -> None:
    take(tx, THREE[0])
    clerk(tx, "user_ada", ADA, source="invite")
    found = tx.execute(text("SELECT CAST(value AS TEXT) FROM user_data WHERE key = 'signup_source'")).scalars().all()
    assert found == ['"admin"']


def test_1000_entries_are_taken_in_one_transaction(tx: Connection) -> None:
    entries = [Entry(f"p{number:04d}@example.com", ("AM", "PM")) for number in range(1000)]
    assert take(tx, *entries).added == 1000
    assert len(people.in_rotation(tx, 1, "PM", most=2000)) == 1000
    assert roster(tx) == entries
