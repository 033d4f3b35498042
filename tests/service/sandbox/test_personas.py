"""The cast is as varied as a real directory, and its ids and addresses are as plain and unique."""

import random

from service.sandbox.people import personas

NOW_MS = 1_795_000_000_000


def test_names_come_from_several_scripts() -> None:
    names = [person.name for person in personas(random.Random(1), 80, now_ms=NOW_MS)]
    assert any(name.isascii() for name in names)
    assert any(" " not in name for name in names)
    assert any("\u4e00" <= letter <= "\u9fff" for name in names for letter in name)
    assert any("\u0400" <= letter <= "\u04ff" for name in names for letter in name)


def test_addresses_and_ids_are_plain_and_unique() -> None:
    cast = personas(random.Random(1), 500, now_ms=NOW_MS)
    for column in ("clerk_id", "slack_id", "notion_id", "email"):
        values = [str(getattr(person, column)) for person in cast]
        assert len(set(values)) == len(values)
        assert all(value.isascii() for value in values)
    assert all(str(person.email).endswith("@example.com") for person in cast)


def test_everybody_joined_before_now() -> None:
    cast = personas(random.Random(2), 100, now_ms=NOW_MS)
    assert all(0 < person.created_at_ms < NOW_MS for person in cast)


def test_the_same_seed_casts_the_same_people() -> None:
    assert personas(random.Random(3), 30, now_ms=NOW_MS) == personas(random.Random(3), 30, now_ms=NOW_MS)
