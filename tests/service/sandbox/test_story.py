"""A story is the same for the same seed, holds every trouble we say we survive, and knows its end."""

import json
from collections import Counter
from typing import Any

import pytest

from service.sandbox.senders import FORGERIES, Delivery
from service.sandbox.story import FEWEST_NEWCOMERS, FEWEST_PEOPLE, Story, story
from service.sandbox.story_oracle import ExpectedPerson

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
SEEDS = [1, 7, 2026]
TROUBLES = {
    "address change",
    "address handed on",
    "admin",
    "ban",
    "bot",
    "deactivation",
    "delete before create",
    "deletion",
    "foreign team",
    "join",
    "joins Slack later",
    "lock",
    "metadata",
    "nobody knows them",
    "older profile late",
    "older update late",
    "phone only",
    "primary address not first",
    "profile change",
    "reactivation",
    "redelivery",
    "rename",
    "same address, new account",
    "same change, two events",
    "same millisecond",
    "session before its person",
    "Slack before Clerk",
    "unconfirmed address",
    "unhandled type",
    "update after delete",
    "update before create",
}


@pytest.fixture(params=SEEDS)
def told(request: pytest.FixtureRequest) -> Story:
    return story(request.param, now_ms=NOW_MS)


def parsed(delivery: Delivery) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(delivery.body)
    return message


def subject(told: Story, note: str) -> str:
    """The Clerk id the first delivery with this note is about."""
    delivery = next(d for d in told.deliveries if d.note == note and d.platform == "clerk")
    data = parsed(delivery)["data"]
    return str(data.get("user_id", data["id"]))


def slack_subject(told: Story, note: str) -> str:
    delivery = next(d for d in told.deliveries if d.note == note and d.platform == "slack")
    return str(parsed(delivery)["event"]["user"]["id"])


def expected(told: Story, clerk_id: str) -> ExpectedPerson:
    (person,) = [person for person in told.expected if person.clerk_id == clerk_id]
    return person


def with_slack(told: Story, slack_id: str) -> ExpectedPerson:
    (person,) = [person for person in told.expected if person.slack_user_id == slack_id]
    return person


def arrivals(told: Story, clerk_id: str) -> list[dict[str, Any]]:
    """Every genuine, first delivery about a Clerk user's record, in order of arrival."""
    seen: dict[str, dict[str, Any]] = {}
    for delivery in told.deliveries:
        if delivery.platform == "clerk" and not delivery.forged and delivery.type.startswith("user."):
            message = parsed(delivery)
            if message["data"]["id"] == clerk_id:
                seen.setdefault(delivery.event_id, message)
    return list(seen.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_tells_the_same_story(seed: int) -> None:
    assert story(seed, now_ms=NOW_MS) == story(seed, now_ms=NOW_MS)
    assert story(seed, now_ms=NOW_MS) != story(seed + 1, now_ms=NOW_MS)


def test_every_trouble_occurs(told: Story) -> None:
    assert {d.note for d in told.deliveries} >= TROUBLES
    assert {"user.created", "user.updated", "user.deleted"} <= {d.type for d in told.deliveries}
    assert {"session.created", "session.ended", "session.removed", "session.revoked"} <= {
        d.type for d in told.deliveries
    }


def test_the_smallest_story_has_every_trouble_too() -> None:
    least = story(3, now_ms=NOW_MS, people=FEWEST_PEOPLE, newcomers=FEWEST_NEWCOMERS)
    assert {d.note for d in least.deliveries} >= TROUBLES


def test_every_forgery_is_tried_at_both_doors(told: Story) -> None:
    tried = {(d.platform, d.forged) for d in told.deliveries if d.forged}
    assert tried == {(platform, kind) for platform in ("clerk", "slack") for kind in FORGERIES}


def test_forgeries_change_nothing_and_can_be_left_out() -> None:
    with_them, without = story(5, now_ms=NOW_MS), story(5, now_ms=NOW_MS, forged=False)
    assert without.expected == with_them.expected
    assert not any(d.forged for d in without.deliveries)


def test_redeliveries_repeat_an_earlier_message_under_its_id(told: Story) -> None:
    counts = Counter((d.platform, d.event_id) for d in told.deliveries)
    assert {platform for (platform, _), count in counts.items() if count > 1} == {"clerk", "slack"}
    bodies = {(d.platform, d.event_id, d.body) for d in told.deliveries}
    assert len(bodies) == len(counts)


def test_everything_happened_within_the_last_day(told: Story) -> None:
    for delivery in told.deliveries:
        message = parsed(delivery)
        at = message["timestamp"] if delivery.platform == "clerk" else message["event_time"]
        at_ms = at * 1000 if at < 10**11 else at
        assert NOW_MS - DAY_MS <= at_ms <= NOW_MS


def test_some_envelopes_count_in_seconds(told: Story) -> None:
    stamps = [parsed(d)["timestamp"] for d in told.deliveries if d.platform == "clerk"]
    assert {stamp < 10**11 for stamp in stamps} == {True, False}


def test_living_accounts_are_expected_and_deleted_ones_are_not(told: Story) -> None:
    ids = [person.clerk_id for person in told.expected]
    assert len(ids) == len(set(ids))
    assert told.deleted_clerk_ids.isdisjoint(ids)
    known = {p.clerk_id for p in told.existing} | {p.clerk_id for p in told.newcomers}
    assert set(ids) | told.deleted_clerk_ids == known
    assert ids == [user["id"] for user in told.final_clerk_users()]


def test_nobody_shares_an_address_or_a_platform_id(told: Story) -> None:
    for column in ("email", "slack_user_id", "notion_person_id"):
        held = [value for p in told.expected if (value := getattr(p, column)) is not None]
        assert len(held) == len(set(held)), column


def test_nobody_is_nameless(told: Story) -> None:
    assert all(person.name.strip() for person in told.expected)


def test_most_people_are_on_both_platforms(told: Story) -> None:
    both = [p for p in told.expected if p.slack_user_id and p.notion_person_id]
    assert len(both) > len(told.expected) / 2


def test_the_older_of_two_updates_loses_though_it_comes_last(told: Story) -> None:
    clerk_id = subject(told, "older update late")
    newer, older = arrivals(told, clerk_id)
    assert older["data"]["updated_at"] < newer["data"]["updated_at"]
    assert expected(told, clerk_id).last_name == newer["data"]["last_name"] != older["data"]["last_name"]


def test_of_two_updates_in_a_millisecond_the_later_envelope_wins(told: Story) -> None:
    clerk_id = subject(told, "same millisecond")
    first, second = arrivals(told, clerk_id)
    assert first["data"]["updated_at"] == second["data"]["updated_at"]
    assert first["timestamp"] > second["timestamp"]
    assert expected(told, clerk_id).last_name == first["data"]["last_name"] != second["data"]["last_name"]


def test_an_update_before_its_creation_counts(told: Story) -> None:
    clerk_id = subject(told, "update before create")
    update, create = arrivals(told, clerk_id)
    assert update["type"] == "user.updated"
    assert create["type"] == "user.created"
    assert expected(told, clerk_id).last_name == update["data"]["last_name"] != create["data"]["last_name"]


@pytest.mark.parametrize("note", ["deletion", "update after delete", "delete before create"])
def test_a_deletion_is_final(told: Story, note: str) -> None:
    clerk_id = subject(told, note)
    assert arrivals(told, clerk_id)[0]["type"] == "user.deleted"
    assert clerk_id in told.deleted_clerk_ids


def test_an_address_goes_to_the_new_account_with_its_slack_member(told: Story) -> None:
    again = subject(told, "same address, new account")
    person = expected(told, again)
    (before,) = [p for p in told.existing if p.email == person.email]
    assert before.clerk_id in told.deleted_clerk_ids
    assert (person.slack_user_id, person.notion_person_id) == (before.slack_id, before.notion_id)


def test_an_address_handed_on_belongs_to_its_new_holder_but_the_slack_member_stays(told: Story) -> None:
    heir = expected(told, subject(told, "address handed on"))
    (giver,) = [p for p in told.existing if p.email == heir.email]
    assert heir.slack_user_id is None
    assert expected(told, giver.clerk_id).slack_user_id == giver.slack_id
    assert expected(told, giver.clerk_id).email != giver.email


def test_a_new_address_is_the_primary_one_though_it_is_listed_last(told: Story) -> None:
    clerk_id = subject(told, "primary address not first")
    (update,) = arrivals(told, clerk_id)
    first, last = (address["email_address"] for address in update["data"]["email_addresses"])
    assert expected(told, clerk_id).email == last != first


@pytest.mark.parametrize(("note", "status"), [("ban", "banned"), ("lock", "locked")])
def test_clerk_bars_people(told: Story, note: str, status: str) -> None:
    assert expected(told, subject(told, note)).status == status


def test_slack_deactivates_people_and_takes_them_back(told: Story) -> None:
    assert with_slack(told, slack_subject(told, "deactivation")).status == "inactive"
    assert with_slack(told, slack_subject(told, "older profile late")).status == "inactive"
    assert with_slack(told, slack_subject(told, "reactivation")).status == "active"


def test_a_nickname_in_slack_is_not_a_name(told: Story) -> None:
    person = with_slack(told, slack_subject(told, "profile change"))
    assert not person.name.startswith("~")


@pytest.mark.parametrize("note", ["joins Slack later", "Slack before Clerk", "join"])
def test_who_joins_slack_is_linked(told: Story, note: str) -> None:
    assert with_slack(told, slack_subject(told, note)).status == "active"


@pytest.mark.parametrize("note", ["unconfirmed address", "foreign team", "nobody knows them", "bot"])
def test_nobody_is_linked_to_a_slack_member_that_proved_nothing(told: Story, note: str) -> None:
    slack_id = slack_subject(told, note)
    assert slack_id in told.unlinked_slack_ids
    assert slack_id not in {person.slack_user_id for person in told.expected}


def test_some_strangers_bear_the_address_of_a_person(told: Story) -> None:
    addresses = {person.email for person in told.expected}
    for note in ("unconfirmed address", "foreign team"):
        users = [parsed(d)["event"]["user"] for d in told.deliveries if d.note == note]
        assert addresses & {user["profile"]["email"] for user in users}, note


def test_admins_are_named_by_public_metadata(told: Story) -> None:
    assert expected(told, subject(told, "admin")).role == "admin"
    assert Counter(person.role for person in told.expected)["admin"] >= 2


def test_metadata_is_kept(told: Story) -> None:
    person = expected(told, subject(told, "metadata"))
    assert person.feature_flags == {"new_calendar": True, "beta_console": False}
    assert person.preferences.items() >= {"theme": "dark", "notifications": False}.items()
    assert person.onboarding_status["step"] == "preferences"


def test_metadata_of_a_wrong_shape_is_not_expected(told: Story) -> None:
    (before,) = [user for user in told.clerk_users if user["unsafe_metadata"].get("onboarding_status") == "preferences"]
    person = expected(told, before["id"])
    assert "digest" in before["unsafe_metadata"]["preferences"]
    assert set(person.preferences) == {"theme", "language", "timezone"}
    assert person.onboarding_status is None


def test_sign_ins_are_counted_once(told: Story) -> None:
    assert expected(told, subject(told, "session before its person")).session_count == 1
    assert max(person.session_count for person in told.expected) == 3


def test_an_account_by_phone_has_no_address(told: Story) -> None:
    person = expected(told, subject(told, "phone only"))
    assert (person.email, person.slack_user_id) == (None, None)


def test_an_invitation_is_remembered(told: Story) -> None:
    assert {person.signup_source for person in told.expected} == {"clerk", "invite"}
