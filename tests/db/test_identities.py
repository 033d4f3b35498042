"""`identities`: what each source last said, and who claims which address."""

import sqlite3
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy.exc
from sqlalchemy import Connection

from db import identities, people
from db.identities import CLAIMED_AT_ONCE, Identity
from db.people import Person

BROKEN = (sqlite3.IntegrityError, sqlalchemy.exc.IntegrityError)
ADA = Identity(
    "clerk",
    "user_ada",
    "ada@example.com",
    email_verified=True,
    version="0001",
    data={"name": "Ada ✓", "list": [1, None, 2.5, {"deep": True}]},
)


def claims(tx: Connection, *emails: str) -> set[str]:
    return {identity.external_id for identity in identities.claiming(tx, emails)}


def test_an_identity_is_read_as_it_was_put(tx: Connection) -> None:
    identities.put(tx, ADA)
    assert identities.get(tx, "clerk", "user_ada") == ADA


@pytest.mark.parametrize("ref", [("clerk", "user_bob"), ("slack", "user_ada"), ("clerk", "USER_ADA"), ("", "")])
def test_an_identity_is_known_by_provider_and_external_id_together(tx: Connection, ref: tuple[str, str]) -> None:
    identities.put(tx, ADA)
    assert identities.get(tx, *ref) is None


def test_putting_again_replaces_the_whole_row(tx: Connection) -> None:
    identities.put(tx, ADA)
    gone = replace(ADA, email=None, email_verified=False, version="0002", data={}, deleted_at=7)
    identities.put(tx, gone)
    assert identities.of_provider(tx, "clerk") == [gone]
    assert not gone.live


def test_the_ids_of_a_provider_are_those_of_its_identities(tx: Connection) -> None:
    identities.put(tx, ADA)
    identities.put(tx, replace(ADA, external_id="user_bob", deleted_at=7))
    identities.put(tx, replace(ADA, provider="slack"))
    assert sorted(identities.ids_of(tx, "clerk")) == sorted([ADA.external_id, "user_bob"])


@pytest.mark.parametrize(
    "change",
    [
        {"version": "0002"},
        {"email": None, "email_verified": False},
        {"data": {"first_name": "Augusta"}, "email": "augusta@example.com"},
        {"email": None, "email_verified": False, "version": "0002", "data": {}, "deleted_at": 7, "user_id": None},
    ],
)
def test_a_row_becomes_what_it_is_changed_to_and_no_other_does(tx: Connection, change: dict[str, Any]) -> None:
    bob = replace(ADA, external_id="user_bob", email="bob@example.com")
    identities.put(tx, ADA)
    identities.put(tx, bob)
    identities.change(tx, ADA, replace(ADA, **change))
    assert identities.of_provider(tx, "clerk") == [replace(ADA, **change), bob]


def test_claiming_finds_every_identity_with_one_of_the_addresses(tx: Connection) -> None:
    many = [f"{number}@example.com" for number in range(2 * CLAIMED_AT_ONCE + 1)]
    for email in many:
        identities.put(tx, replace(ADA, external_id=email, email=email))
        identities.put(tx, replace(ADA, provider="slack", external_id=email, email=email))
    identities.put(tx, replace(ADA, external_id="none", email=None))
    for count in range(len(many) + 1):
        assert claims(tx, *many[:count]) == set(many[:count])
        assert len(identities.claiming(tx, many[:count])) == 2 * count


def test_claiming_no_address_finds_nobody(tx: Connection) -> None:
    identities.put(tx, replace(ADA, email=None))
    assert identities.claiming(tx, []) == []


def test_around_finds_the_identity_and_every_claim_of_the_addresses_once(tx: Connection) -> None:
    other = replace(ADA, provider="slack", external_id="U0ADA", data={})
    stranger = replace(ADA, external_id="user_bob", email="bob@example.com")
    for identity in (ADA, other, stranger):
        identities.put(tx, identity)
    assert {one.ref for one in identities.around(tx, ADA.ref, ["ada@example.com"])} == {ADA.ref, other.ref}
    assert [one.ref for one in identities.around(tx, stranger.ref, [])] == [stranger.ref]
    assert len(identities.around(tx, ("clerk", "new"), ["ada@example.com", "bob@example.com"])) == 3


def test_a_tombstone_is_claimed_by_the_trace_of_its_address_not_by_the_address(tx: Connection) -> None:
    trace = identities.trace("ada@example.com")
    assert "ada" not in trace
    identities.put(tx, replace(ADA, email=trace, deleted_at=7))
    assert claims(tx, "ada@example.com") == set()
    assert claims(tx, trace) == {"user_ada"}


def test_a_link_is_set_followed_and_cut(tx: Connection) -> None:
    identities.put(tx, ADA)
    user_id = people.add(tx, Person(None, None, "Ada", None, None, None, None, "member", "active"), 0)
    identities.link(tx, ADA.ref, user_id)
    assert identities.of_user(tx, user_id) == [replace(ADA, user_id=user_id)]
    identities.link(tx, ADA.ref, None)
    assert identities.of_user(tx, user_id) == []


def test_nothing_links_to_a_person_there_is_not(tx: Connection) -> None:
    identities.put(tx, ADA)
    with pytest.raises(BROKEN, match=r"(?i)foreign key"):
        identities.link(tx, ADA.ref, 99)


def test_dropping_one_leaves_the_others(tx: Connection) -> None:
    bob = replace(ADA, external_id="user_bob")
    identities.put(tx, ADA)
    identities.put(tx, bob)
    identities.drop(tx, ADA.ref)
    assert identities.of_provider(tx, "clerk") == [bob]
