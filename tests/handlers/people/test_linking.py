"""Which identities are one person: every row is a household at one address, and who they are (S3.5)."""

import itertools

import pytest

from db.identities import Identity, trace
from handlers.people.linking import Group, resolve

A, B = "a@example.com", "b@example.com"


def identity(ref: str, email: str | None = A, *, verified: bool = True, at: int = 0, deleted: bool = False) -> Identity:
    """`clerk:one`; a deleted one keeps the trace of its address."""
    provider, _, external_id = ref.partition(":")
    kept = trace(email) if email and deleted else email
    return Identity(provider, external_id, kept, verified, str(at), {}, deleted_at=1 if deleted else None)


def people(groups: list[Group]) -> dict[str, tuple[str | None, list[str]]]:
    """Anchor -> the address they show, and who joined them."""
    return {
        ":".join(group.anchor.ref): (group.email, sorted(":".join(one.ref) for one in group.joined)) for group in groups
    }


HOUSEHOLDS = {
    "nobody": ([], {}),
    "a verified account": ([identity("clerk:1")], {"clerk:1": (A, [])}),
    "an unverified account": ([identity("clerk:1", verified=False)], {"clerk:1": (A, [])}),
    "an account without an address": ([identity("clerk:1", None)], {"clerk:1": (None, [])}),
    "a roster entry": ([identity("roster:a")], {"roster:a": (A, [])}),
    "a Slack member nobody knows": ([identity("slack:U1")], {}),
    "a Notion guest nobody knows": ([identity("notion:n1")], {}),
    "everybody at one address": (
        [identity("clerk:1"), identity("roster:a"), identity("slack:U1"), identity("notion:n1")],
        {"clerk:1": (A, ["notion:n1", "roster:a", "slack:U1"])},
    ),
    "without an account the roster is the host": (
        [identity("roster:a"), identity("slack:U1"), identity("notion:n1")],
        {"roster:a": (A, ["notion:n1", "slack:U1"])},
    ),
    "who has not verified joins nobody": (
        [identity("clerk:1"), identity("slack:U1", verified=False), identity("notion:n1", None)],
        {"clerk:1": (A, [])},
    ),
    "nobody joins an unverified account": (
        [identity("clerk:1", verified=False), identity("slack:U1")],
        {"clerk:1": (A, [])},
    ),
    "the roster keeps its address from an unverified account": (
        [identity("clerk:1", verified=False), identity("roster:a"), identity("slack:U1")],
        {"clerk:1": (None, []), "roster:a": (A, ["slack:U1"])},
    ),
    "the newest verified account owns the address": (
        [identity("clerk:1", at=1), identity("clerk:2", at=2), identity("slack:U1")],
        {"clerk:1": (None, []), "clerk:2": (A, ["slack:U1"])},
    ),
    "a verified account owns it however new an unverified one is": (
        [identity("clerk:1", at=1), identity("clerk:2", at=9, verified=False)],
        {"clerk:1": (A, []), "clerk:2": (None, [])},
    ),
    "of two unverified ones the newest shows it": (
        [identity("clerk:1", at=1, verified=False), identity("clerk:2", at=2, verified=False)],
        {"clerk:1": (None, []), "clerk:2": (A, [])},
    ),
    "of two equally new ones the greater id": (
        [identity("clerk:1"), identity("clerk:2")],
        {"clerk:1": (None, []), "clerk:2": (A, [])},
    ),
    "a deleted account is nobody, and neither is its roster entry": (
        [identity("clerk:1", deleted=True), identity("roster:a"), identity("slack:U1")],
        {},
    ),
    "an unverified account shows what the roster may not": (
        [identity("clerk:1", deleted=True), identity("roster:a"), identity("clerk:2", verified=False)],
        {"clerk:2": (A, [])},
    ),
    "a new account takes in the retired roster entry": (
        [identity("clerk:1", deleted=True), identity("roster:a"), identity("clerk:2"), identity("slack:U1")],
        {"clerk:2": (A, ["roster:a", "slack:U1"])},
    ),
    "a forgotten Slack member is nobody": (
        [identity("clerk:1"), identity("slack:U1", None, deleted=True)],
        {"clerk:1": (A, [])},
    ),
    "two addresses, two people": (
        [identity("clerk:1"), identity("clerk:2", B), identity("slack:U1", B), identity("roster:b", B)],
        {"clerk:1": (A, []), "clerk:2": (B, ["roster:b", "slack:U1"])},
    ),
    "several members of one platform all join": (
        [identity("clerk:1"), identity("slack:U1"), identity("slack:U2")],
        {"clerk:1": (A, ["slack:U1", "slack:U2"])},
    ),
}


@pytest.mark.parametrize("name", HOUSEHOLDS)
def test_a_household_is_these_people_in_whatever_order_it_is_told(name: str) -> None:
    household, expected = HOUSEHOLDS[name]
    for order in itertools.permutations(household):
        assert people(resolve(order)) == expected
