"""`users`: found by any id, unique, valid, never numbered twice."""

import sqlite3
from dataclasses import asdict, replace
from typing import Any

import pytest
import sqlalchemy.exc
from sqlalchemy import Connection, text

from db import identities, people, user_data
from db.database import savepoint
from db.identities import Identity
from db.people import Person

BROKEN = (sqlite3.IntegrityError, sqlalchemy.exc.IntegrityError)
ADA = Person("user_ada", "ada@example.com", "Ada Byron", "Ada", "Byron", "U0ADA", "n-ada", "member", "active")


def nobody(number: int, **data: Any) -> Person:
    """A person without any unique value."""
    return replace(Person(None, None, f"Nobody {number}", None, None, None, None, "member", "active"), **data)


def join(tx: Connection, user_id: int, *rotations: str) -> None:
    people.set_rotations(tx, 1, user_id, rotations)


@pytest.mark.parametrize("value", ["user_ada", "ada@example.com", " ADA@Example.COM ", "U0ADA", "n-ada", " n-ada\n"])
def test_a_person_is_found_by_email_and_by_each_platforms_id(tx: Connection, value: str) -> None:
    user_id = people.add(tx, ADA, 5)
    people.add(tx, nobody(1), 6)
    found = people.find(tx, value)
    assert found == {"id": user_id, "created_at": 5, "updated_at": 5, **asdict(ADA)}


def test_a_person_is_found_by_row_id(tx: Connection) -> None:
    user_id = people.add(tx, ADA, 5)
    found = people.find(tx, str(user_id))
    assert found is not None
    assert found["name"] == "Ada Byron"


@pytest.mark.parametrize("value", ["", " ", "0", "-1", "999", "9" * 30, "²", "%", "ada@example", "' OR 1=1 --"])
def test_nobody_is_found_by_anything_else(tx: Connection, value: str) -> None:
    people.add(tx, ADA, 5)
    assert people.find(tx, value) is None


def test_a_person_loads_as_stored_and_changes_as_told(tx: Connection) -> None:
    user_id = people.add(tx, ADA, 5)
    assert people.get(tx, user_id) == ADA
    assert people.load(tx, [user_id, 99]) == {user_id: ADA}
    countess = replace(ADA, name="Ada Lovelace", last_name="Lovelace", slack_user_id=None, status="inactive")
    people.change(tx, user_id, ADA, countess, 9)
    assert people.get(tx, user_id) == countess
    found = people.find(tx, "user_ada")
    assert found is not None
    assert (found["created_at"], found["updated_at"]) == (5, 9)


def test_nobody_is_loaded_where_nobody_is(tx: Connection) -> None:
    assert people.get(tx, 1) is None
    assert people.load(tx, []) == {}


def test_a_row_id_is_never_used_again(tx: Connection) -> None:
    last = [people.add(tx, nobody(number), 0) for number in range(3)][-1]
    people.remove(tx, last)
    assert people.add(tx, nobody(9), 0) > last


@pytest.mark.parametrize("column", people.UNIQUE)
def test_no_two_people_share_a_unique_value(tx: Connection, column: str) -> None:
    people.add(tx, ADA, 0)
    with pytest.raises(BROKEN, match=r"(?i)unique"):
        people.add(tx, nobody(1, **{column: getattr(ADA, column)}), 0)


@pytest.mark.parametrize("column", people.UNIQUE)
def test_a_released_value_may_be_taken_in_the_same_transaction(tx: Connection, column: str) -> None:
    first = people.add(tx, ADA, 0)
    people.release(tx, first, column)
    second = people.add(tx, nobody(1, **{column: getattr(ADA, column)}), 0)
    found = people.find(tx, getattr(ADA, column))
    assert found is not None
    assert found["id"] == second


def test_many_people_may_have_no_address_and_no_platform_id(tx: Connection) -> None:
    assert len({people.add(tx, nobody(number), 0) for number in range(3)}) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": None},
        {"email": ""},
        {"email": "Ada@example.com"},
        {"role": "user"},
        {"role": None},
        {"status": "gone"},
        {"status": None},
    ],
)
def test_what_cannot_be_so_is_not_stored(tx: Connection, wrong: dict[str, Any]) -> None:
    with pytest.raises(BROKEN, match=r"(?i)check|not.null"), savepoint(tx):
        people.add(tx, nobody(1, **wrong), 0)
    assert people.ids(tx) == []


def test_with_a_person_go_their_data_and_memberships_but_not_their_identities(tx: Connection) -> None:
    user_id, other = people.add(tx, ADA, 0), people.add(tx, nobody(1), 0)
    for one in (user_id, other):
        user_data.put(tx, one, {"preferences": {}})
        join(tx, one, "AM")
    identity = Identity("clerk", "user_ada", "ada@example.com", email_verified=True, version="1", data={})
    identities.put(tx, replace(identity, user_id=user_id))
    people.remove(tx, user_id)
    assert user_data.load(tx, user_id) == {}
    assert user_data.load(tx, other) == {"preferences": {}}
    assert people.rotations(tx, 1, [user_id, other]) == {other: ["AM"]}
    assert identities.get(tx, "clerk", "user_ada") == identity


def test_pages_walk_everybody_once_in_order(tx: Connection) -> None:
    everybody = [people.add(tx, nobody(number), 0) for number in range(7)]
    walked: list[int] = []
    while page := people.page(tx, after=walked[-1] if walked else 0, most=3):
        assert len(page) <= 3
        walked += [row["id"] for row in page]
    assert walked == everybody == people.ids(tx)


def test_a_rotation_lists_its_members_page_by_page(tx: Connection) -> None:
    some = [people.add(tx, nobody(number), 0) for number in range(4)]
    for user_id in some[:3]:
        join(tx, user_id, "AM")
    join(tx, some[3], "PM")
    first = people.in_rotation(tx, 1, "AM", most=2)
    rest = people.in_rotation(tx, 1, "AM", after=first[-1]["id"], most=2)
    assert [row["id"] for row in first + rest] == some[:3]
    assert people.in_rotation(tx, 2, "AM") == []


def test_setting_rotations_replaces_those_of_that_workspace_only(tx: Connection) -> None:
    tx.execute(text("INSERT INTO workspaces (id, slug, name, created_at) VALUES (2, 'two', 'Two', 0)"))
    user_id = people.add(tx, ADA, 0)
    people.set_rotations(tx, 1, user_id, ["PM", "AM"])
    people.set_rotations(tx, 2, user_id, ["Core"])
    assert people.rotations(tx, 1, [user_id]) == {user_id: ["AM", "PM"]}
    people.set_rotations(tx, 1, user_id, [])
    assert people.rotations(tx, 1, [user_id]) == {}
    assert people.rotations(tx, 2, [user_id]) == {user_id: ["Core"]}


def test_rotations_of_more_people_than_a_statement_takes(tx: Connection) -> None:
    some = [people.add(tx, nobody(number), 0) for number in range(people.LONGEST_LIST + 2)]
    join(tx, some[0], "AM")
    join(tx, some[-1], "PM")
    assert people.rotations(tx, 1, some) == {some[0]: ["AM"], some[-1]: ["PM"]}


def test_admins_are_those_with_the_role_and_an_address(tx: Connection) -> None:
    people.add(tx, replace(ADA, role="admin"), 0)
    people.add(tx, nobody(1, role="admin"), 0)
    people.add(tx, nobody(2, email="member@example.com"), 0)
    assert people.admins(tx) == {"ada@example.com"}


def test_coverage_counts_active_people_with_both_ids(tx: Connection) -> None:
    assert people.coverage(tx).share == 1.0
    people.add(tx, ADA, 0)
    people.add(tx, nobody(1, slack_user_id="U1"), 0)
    people.add(tx, nobody(2, notion_person_id="n1"), 0)
    people.add(tx, nobody(3), 0)
    people.add(tx, nobody(4, slack_user_id="U4", notion_person_id="n4", status="inactive"), 0)
    coverage = people.coverage(tx)
    assert (coverage.people, coverage.slack, coverage.notion, coverage.both, coverage.share) == (4, 2, 2, 1, 0.25)
