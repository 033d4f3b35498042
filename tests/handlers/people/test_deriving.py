"""What a person is, column by column, from who joined them: each column has one source that owns it."""

from typing import Any

import pytest

from db.identities import Identity
from handlers.people.deriving import Derived, derive, name_of
from handlers.people.linking import Group

A = "ada.byron@example.com"
CREATED = 1_790_000_000_000
OWN = {"created_at": CREATED, "updated_at": CREATED, "synced_at": CREATED + 1}


def clerk(*, verified: bool = True, **data: Any) -> Identity:
    return Identity("clerk", "user_1", A, verified, "1", {**OWN, **data})


def roster(**data: Any) -> Identity:
    return Identity("roster", A, A, email_verified=True, version="1", data={"rotations": ["AM"], **data})


def slack(slack_id: str = "U1", at: str = "1", **data: Any) -> Identity:
    return Identity("slack", slack_id, A, email_verified=True, version=at, data=data)


def notion() -> Identity:
    return Identity("notion", "n1", A, email_verified=True, version="1", data={"name": "Ada in Notion"})


def derived(
    anchor: Identity, *joined: Identity, admins: frozenset[str] = frozenset(), email: str | None = A
) -> Derived:
    return derive(Group(anchor, joined, email), admins)


@pytest.mark.parametrize(
    ("anchor", "joined", "name"),
    [
        (clerk(first_name="Ada", last_name="King"), [roster(name="R"), slack(real_name="S")], "Ada King"),
        (clerk(first_name="Ada"), [], "Ada"),
        (clerk(last_name="King"), [], "King"),
        (clerk(username="ada99"), [roster(name="Roster Ada"), slack(real_name="S")], "Roster Ada"),
        (clerk(username="ada99"), [slack(real_name="Slack Ada")], "Slack Ada"),
        (clerk(username="ada99"), [notion()], "ada99"),
        (clerk(), [notion()], "Ada Byron"),
        (roster(name="Roster Ada"), [slack(real_name="S")], "Roster Ada"),
        (roster(), [slack(real_name="Slack Ada")], "Slack Ada"),
        (roster(), [], "Ada Byron"),
    ],
)
def test_the_name_is_the_realest_one_that_is_known(anchor: Identity, joined: list[Identity], name: str) -> None:
    assert derived(anchor, *joined).person.name == name


@pytest.mark.parametrize(
    ("email", "name"),
    [
        ("ada.byron@example.com", "Ada Byron"),
        ("ada_byron-king+oncall@example.com", "Ada Byron King"),
        ("o'rourke@example.com", "O'rourke"),
        ("zoë@example.com", "Zoë"),
        ("...@example.com", "user_1"),
        ("+tag@example.com", "user_1"),
        (None, "user_1"),
    ],
)
def test_an_address_suggests_a_name_and_an_id_is_the_last_resort(email: str | None, name: str) -> None:
    nameless = Identity("clerk", "user_1", email, email is not None, "1", OWN)
    assert name_of(nameless, None, None) == name


@pytest.mark.parametrize(
    ("own", "slack_data", "status"),
    [
        ({}, {}, "active"),
        ({}, {"deactivated": True}, "inactive"),
        ({"locked": True}, {}, "locked"),
        ({"locked": True}, {"deactivated": True}, "locked"),
        ({"banned": True, "locked": True}, {"deactivated": True}, "banned"),
    ],
)
def test_clerk_bars_before_slack_lets_go(own: dict[str, Any], slack_data: dict[str, Any], status: str) -> None:
    assert derived(clerk(**own), slack(**slack_data)).person.status == status


@pytest.mark.parametrize(
    ("anchor", "admins", "email", "role"),
    [
        (clerk(), {A}, A, "admin"),
        (clerk(verified=False), {A}, A, "member"),
        (clerk(), {A}, None, "member"),
        (clerk(), {"other@example.com"}, A, "member"),
        (clerk(admin=True), set(), None, "admin"),
        (roster(), {A}, A, "admin"),
    ],
)
def test_an_administrator_is_named_by_clerk_or_by_a_verified_address(
    anchor: Identity, admins: set[str], email: str | None, role: str
) -> None:
    assert derived(anchor, admins=frozenset(admins), email=email).person.role == role


def test_the_member_in_use_speaks_for_slack_before_a_newer_deactivated_one() -> None:
    person = derived(clerk(), slack("U_old", "1"), slack("U_new", "9", deactivated=True)).person
    assert (person.slack_user_id, person.status) == ("U_old", "active")


def test_of_several_deactivated_members_the_newest_speaks() -> None:
    person = derived(clerk(), slack("U1", "1", deactivated=True), slack("U2", "2", deactivated=True)).person
    assert (person.slack_user_id, person.status) == ("U2", "inactive")


def test_each_platform_gives_its_own_id() -> None:
    person = derived(clerk(), slack(), notion(), roster()).person
    assert (person.clerk_id, person.slack_user_id, person.notion_person_id) == ("user_1", "U1", "n1")
    alone = derived(roster()).person
    assert (alone.clerk_id, alone.slack_user_id, alone.notion_person_id) == (None, None, None)


@pytest.mark.parametrize(
    ("anchor", "joined", "source"),
    [
        (clerk(), [], "clerk"),
        (clerk(source="invite"), [], "invite"),
        (clerk(source="admin"), [], "admin"),
        (clerk(source="invite"), [roster()], "admin"),
        (roster(), [], "admin"),
    ],
)
def test_the_signup_source(anchor: Identity, joined: list[Identity], source: str) -> None:
    assert derived(anchor, *joined).data["signup_source"] == source


def test_preferences_are_what_slack_observes_but_for_what_the_person_chose() -> None:
    observed = slack(timezone="Europe/Oslo", language="nb-NO")
    assert derived(clerk(preferences={"timezone": "Asia/Tokyo", "theme": "dark"}), observed).data["preferences"] == {
        "timezone": "Asia/Tokyo",
        "language": "nb-NO",
        "theme": "dark",
    }


def test_nothing_known_is_nothing_stored() -> None:
    assert derived(clerk(), slack()).data == {
        "signup_date": "2026-09-21T14:13:20.000Z",
        "last_clerk_sync": "2026-09-21T14:13:20.001Z",
        "signup_source": "clerk",
    }
    assert derived(roster()).data == {"signup_source": "admin"}


def test_rotations_are_the_rosters() -> None:
    assert derived(clerk(), roster()).rotations == ("AM",)
    assert derived(clerk()).rotations == ()


def test_only_what_is_shown_elsewhere_is_visible() -> None:
    base = derived(clerk(), slack(title="Engineer", timezone="Europe/Oslo"))
    unseen = derived(
        clerk(feature_flags={"beta": True}), slack(title="Engineer", timezone="Europe/Oslo", display_name="x")
    )
    assert base.visible == unseen.visible
    assert base.visible != derived(clerk(), slack(title="Lead", timezone="Europe/Oslo")).visible
    assert base.visible != derived(clerk(), slack(title="Engineer", timezone="Asia/Tokyo")).visible
