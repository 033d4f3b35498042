"""`user_data`: one JSON value a person and key."""

import sqlite3
from typing import Any

import pytest
import sqlalchemy.exc
from sqlalchemy import Connection

from db import people, statements, user_data
from db.people import Person

BROKEN = (sqlite3.IntegrityError, sqlalchemy.exc.IntegrityError)
VALUES = [None, True, 0, -1, 2**62, 1.5, "", "é\n✓", [], [1, [2]], {}, {"a": {"b": [None]}}]


@pytest.fixture
def ada(tx: Connection) -> int:
    return people.add(tx, Person(None, None, "Ada", None, None, None, None, "member", "active"), 0)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_read_as_it_was_put(tx: Connection, ada: int, value: Any) -> None:
    user_data.put(tx, ada, {"key": value})
    assert user_data.load(tx, ada) == {"key": value}
    assert user_data.load_many(tx, [ada], ["key"]) == {ada: {"key": value}}


def test_putting_a_key_again_replaces_it_and_leaves_the_others(tx: Connection, ada: int) -> None:
    user_data.put(tx, ada, {"one": 1, "two": 2})
    user_data.put(tx, ada, {"two": [2]})
    user_data.put(tx, ada, {})
    assert user_data.load(tx, ada) == {"one": 1, "two": [2]}


def test_dropping_removes_the_keys_named(tx: Connection, ada: int) -> None:
    user_data.put(tx, ada, {"one": 1, "two": 2, "three": 3})
    user_data.drop(tx, ada, ["one", "two", "never there"])
    assert user_data.load(tx, ada) == {"three": 3}


def test_loading_many_gives_the_wanted_keys_of_the_wanted_people(tx: Connection, ada: int) -> None:
    bob = people.add(tx, Person(None, None, "Bob", None, None, None, None, "member", "active"), 0)
    user_data.put(tx, ada, {"one": 1, "two": 2})
    user_data.put(tx, bob, {"one": 3})
    assert user_data.load_many(tx, [ada, bob], ["one"]) == {ada: {"one": 1}, bob: {"one": 3}}
    assert user_data.load_many(tx, [bob], ["two"]) == {}
    assert user_data.load_many(tx, [], []) == {}


def test_nobody_has_no_data(tx: Connection) -> None:
    assert user_data.load(tx, 99) == {}

    def put_and_wait() -> None:
        user_data.put(tx, 99, {"one": 1})
        statements.flush(tx)

    with pytest.raises(BROKEN, match=r"(?i)foreign key"):
        put_and_wait()
