"""What team_join and user_change make of people: links, profile, leaving; and whom they say nothing about (S1.5)."""

import itertools
from typing import Any

import pytest

from tests.handlers.saying import deleted, enrol, said
from tests.service.web import SINKS, Json, Serve, Web, fixture

ME = "U07M4R3NHLM"
AT = 1_791_702_673
DROPPED = ("real_name", "tz", "locale", "is_email_confirmed")


def member(slack_id: str = ME, email: str | None = "ada@example.com", *, updated: int = 0, **changes: Any) -> Json:
    """A whole user_change about one member; `updated` is seconds after AT. A change to `...` drops the field."""
    message = fixture("slack/user_change")
    user = message["event"]["user"] | {"id": slack_id, "updated": AT + updated}
    user["profile"] = user["profile"] | {"email": email}
    user |= changes
    message["event"]["user"] = {key: value for key, value in user.items() if value is not ...}
    number = next(EVENT_IDS)
    return message | {"event_id": f"Ev{number:09d}"}


def deactivated(slack_id: str = ME, email: str | None = "ada@example.com", *, updated: int = 10) -> Json:
    return member(slack_id, email, updated=updated, deleted=True, **dict.fromkeys(DROPPED, ...))


EVENT_IDS = itertools.count(1)


@pytest.fixture
async def ada(web: Web) -> Web:
    """Clerk knows Ada, by a verified address."""
    await web.clerk(said())
    return web


def linked(web: Web) -> str | None:
    found: str | None = web.person("user_ada")["slack_user_id"]
    return found


# --- linking ---


@pytest.mark.parametrize("kind", ["team_join", "user_change"])
async def test_a_confirmed_address_links_a_member_to_their_person(ada: Web, kind: str) -> None:
    message = member()
    message["event"]["type"] = kind
    assert await ada.slack(message) == "applied"
    assert linked(ada) == ME
    data = ada.data("user_ada")
    assert data["profile"] == {"title": "Staff Site Reliability Engineer", "display_name": "maren.holm"}
    assert data["preferences"] == {"language": "de-DE", "timezone": "Europe/Berlin"}


async def test_a_member_nobody_knows_waits_and_is_linked_when_the_person_arrives(web: Web) -> None:
    assert await web.slack(member()) == "applied"
    assert web.people() == []
    await web.clerk(said())
    assert linked(web) == ME
    assert web.data("user_ada")["profile"]["title"] == "Staff Site Reliability Engineer"


async def test_a_member_waits_for_a_roster_entry_as_well(web: Web) -> None:
    await web.slack(member())
    await enrol(web, "ada@example.com", "AM")
    (person,) = web.people()
    assert (person["slack_user_id"], person["name"]) == (ME, "Maren Hölm")


async def test_the_spelling_of_an_address_does_not_matter(ada: Web) -> None:
    await ada.slack(member(email="Ada@Example.COM"))
    assert linked(ada) == ME


@pytest.mark.parametrize("confirmed", [False, None, ...])
async def test_an_address_that_is_not_confirmed_never_links(ada: Web, confirmed: Any) -> None:
    assert await ada.slack(member(is_email_confirmed=confirmed)) == "applied"
    assert linked(ada) is None
    await ada.clerk(said(updated=5, first_name="Augusta"))
    assert linked(ada) is None


async def test_an_address_clerk_has_not_verified_never_links(web: Web) -> None:
    await web.clerk(said(verified=False))
    await web.slack(member())
    assert linked(web) is None
    await web.clerk(said(updated=5))
    assert linked(web) == ME


async def test_a_confirmation_links_later_and_its_loss_unlinks(ada: Web) -> None:
    for updated, confirmed in enumerate((False, True, False, True)):
        await ada.slack(member(updated=updated, is_email_confirmed=confirmed))
        assert linked(ada) == (ME if confirmed else None)


async def test_a_member_follows_their_address_to_another_person(ada: Web) -> None:
    await ada.clerk(said("user_bob", "bob@example.com"))
    await ada.slack(member())
    await ada.slack(member(email="bob@example.com", updated=1))
    assert linked(ada) is None
    assert ada.person("user_bob")["slack_user_id"] == ME
    assert "profile" not in ada.data("user_ada")


async def test_a_member_without_an_address_is_unlinked(ada: Web) -> None:
    await ada.slack(member())
    await ada.slack(member(email=None, updated=1))
    assert linked(ada) is None


@pytest.mark.parametrize("name", ["missing_email", "empty_profile", "unconfirmed_email"])
async def test_a_recorded_member_without_a_proven_address_is_kept_and_linked_to_nobody(web: Web, name: str) -> None:
    message = fixture(f"slack/edge/{name}")
    user = message["event"]["user"]
    await web.clerk(said(email=user["profile"].get("email") or "ada@example.com"))
    assert await web.slack(message) == "applied"
    assert web.identity("slack", user["id"])["user_id"] is None
    assert linked(web) is None


async def test_two_members_with_one_address_the_newest_in_use_speaks(ada: Web) -> None:
    await ada.slack(member("U0OLD", updated=5))
    await ada.slack(member("U0NEW", updated=9))
    assert linked(ada) == "U0NEW"
    await ada.slack(deactivated("U0NEW", updated=20))
    assert (linked(ada), ada.person("user_ada")["status"]) == ("U0OLD", "active")


async def test_a_deleted_persons_member_waits_again(ada: Web) -> None:
    await ada.slack(member())
    await ada.clerk(deleted())
    assert ada.identity("slack", ME)["user_id"] is None
    await ada.clerk(said("user_again", updated=20))
    assert ada.person("user_again")["slack_user_id"] == ME


# --- whom we do not keep ---


@pytest.mark.parametrize(
    ("name", "why"), [("bot", "a bot"), ("foreign_team", "another"), ("stranger", "another organisation")]
)
async def test_a_recorded_outsider_is_ignored(web: Web, name: str, why: str) -> None:
    message = fixture(f"slack/edge/{name}")
    await web.clerk(said(email=message["event"]["user"]["profile"].get("email") or "ada@example.com"))
    assert await web.slack(message) == "ignored"
    assert why in web.events()[-1]["error"]
    assert linked(web) is None
    assert web.rows("SELECT * FROM identities WHERE provider = 'slack'") == []


@pytest.mark.parametrize(
    "change",
    [
        {"is_bot": True},
        {"is_workflow_bot": True},
        {"id": "USLACKBOT"},
        {"is_stranger": True},
        {"team_id": "T0PARTNERS9", "enterprise_user": ...},
        {"team_id": None},
        {"team_id": ...},
        {"deleted": ...},
    ],
)
async def test_who_is_no_person_of_ours_is_ignored(ada: Web, change: Json) -> None:
    assert await ada.slack(member(**change)) == "ignored"
    assert linked(ada) is None


async def test_a_member_of_another_team_of_our_own_enterprise_is_ours(ada: Web) -> None:
    message = member(team_id="T0SISTER")
    assert await ada.slack(message | {"enterprise_id": "E0OTHER"}) == "ignored"
    message = member(team_id="T0SISTER")
    assert await ada.slack(message | {"enterprise_id": "E0EXAMPLE01"}) == "applied"
    assert linked(ada) == ME


# --- leaving and coming back ---


async def test_a_deactivated_member_is_inactive_and_stays_linked(ada: Web) -> None:
    await ada.slack(member())
    assert await ada.slack(deactivated()) == "applied"
    assert (linked(ada), ada.person("user_ada")["status"]) == (ME, "inactive")
    await ada.slack(member(updated=20))
    assert (linked(ada), ada.person("user_ada")["status"]) == (ME, "active")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_deactivation_ends_the_same_in_any_order(ada: Web, order: tuple[int, ...]) -> None:
    stream = [member(updated=0, is_email_confirmed=False), member(updated=1), deactivated(updated=2)]
    for number in order:
        await ada.slack(stream[number])
    assert (linked(ada), ada.person("user_ada")["status"]) == (ME, "inactive")


async def test_a_deactivated_member_whose_address_was_never_confirmed_is_not_linked(ada: Web) -> None:
    await ada.slack(deactivated())
    assert linked(ada) is None
    await ada.slack(member(updated=0, email="other@example.com"))
    assert linked(ada) is None  # what was confirmed is another address


async def test_a_deactivated_member_whose_address_was_once_denied_is_not_linked(ada: Web) -> None:
    await ada.slack(member(is_email_confirmed=False))
    await ada.slack(deactivated())
    assert linked(ada) is None


async def test_the_recorded_deactivation(web: Web) -> None:
    gone = fixture("slack/edge/deactivated")
    user = gone["event"]["user"]
    await web.clerk(said(email=user["profile"]["email"]))
    await web.slack(member(user["id"], user["profile"]["email"], updated=-100_000_000))
    assert linked(web) == user["id"]
    await web.slack(gone)
    assert (linked(web), web.person("user_ada")["status"]) == (user["id"], "inactive")


async def test_being_banned_in_clerk_weighs_more_than_leaving_slack(ada: Web) -> None:
    await ada.slack(member())
    await ada.slack(deactivated())
    await ada.clerk(said(updated=5, banned=True))
    assert ada.person("user_ada")["status"] == "banned"


async def test_a_forgotten_member_is_erased_for_good(ada: Web) -> None:
    message = fixture("slack/edge/forgotten")
    slack_id = message["event"]["user"]["id"]
    await ada.slack(member(slack_id))
    assert linked(ada) == slack_id
    assert await ada.slack(message) == "applied"
    assert linked(ada) is None
    tombstone = ada.identity("slack", slack_id)
    assert (tombstone["email"], tombstone["data"], tombstone["user_id"]) == (None, {}, None)
    assert tombstone["deleted_at"]
    assert await ada.slack(member(slack_id, updated=10**6)) == "stale"
    assert linked(ada) is None
    assert "profile" not in ada.data("user_ada")


async def test_forgetting_a_member_takes_nobody_off_the_roster(web: Web) -> None:
    await enrol(web, "ada@example.com", "AM")
    message = fixture("slack/edge/forgotten")
    await web.slack(member(message["event"]["user"]["id"]))
    await web.slack(message)
    assert [person["email"] for person in web.people()] == ["ada@example.com"]


# --- order, and what is worth a mark ---


async def test_an_older_event_is_stale(ada: Web) -> None:
    await ada.slack(member(updated=5))
    assert await ada.slack(member(updated=4, profile={"email": "other@example.com"})) == "stale"
    assert linked(ada) == ME


async def test_between_equal_times_the_event_decides(ada: Web) -> None:
    older, newer = member(tz="Europe/Oslo"), member(tz="Europe/Paris")
    older["event"]["event_ts"], newer["event"]["event_ts"] = f"{AT}.000100", f"{AT}.002"
    assert [await ada.slack(message) for message in (newer, older)] == ["applied", "stale"]
    assert ada.data("user_ada")["preferences"]["timezone"] == "Europe/Paris"


async def test_what_the_person_chose_in_clerk_comes_before_what_slack_observes(ada: Web) -> None:
    await ada.slack(member())
    await ada.clerk(said(updated=5, unsafe_metadata={"preferences": {"timezone": "Asia/Tokyo", "theme": "dark"}}))
    preferences = {"language": "de-DE", "timezone": "Asia/Tokyo", "theme": "dark"}
    assert ada.data("user_ada")["preferences"] == preferences
    await ada.slack(member(updated=5, tz="Europe/Oslo"))
    assert ada.data("user_ada")["preferences"] == preferences


async def test_slacks_name_is_not_the_persons(ada: Web) -> None:
    await ada.slack(member(real_name="~ nickname ~"))
    assert ada.person("user_ada")["name"] == "Ada Byron"


async def test_a_change_nobody_sees_raises_no_mark(serve: Serve) -> None:
    async with serve(**SINKS) as web:
        await web.clerk(said())
        await web.slack(member())
        before = web.marks()
        assert before == {"person:1": 2}
        noise = member(updated=1)
        noise["event"]["user"]["profile"] |= {"status_text": "Lunch", "status_emoji": ":sandwich:", "huddle_state": "x"}
        await web.slack(noise)
        await web.slack(member(updated=2, locale="en-GB"))
        await web.slack(member(updated=3, profile=noise["event"]["user"]["profile"] | {"display_name": "ada!"}))
        assert web.marks() == before
        await web.slack(member(updated=4, profile=noise["event"]["user"]["profile"] | {"title": "On holiday"}))
        assert web.marks() == {"person:1": 3}
        await web.slack(member(updated=5, profile=noise["event"]["user"]["profile"] | {"title": "On holiday"}))
        assert web.marks() == {"person:1": 3}
        await web.slack(
            member(updated=6, profile=noise["event"]["user"]["profile"] | {"title": "On holiday"}, tz="Asia/Tokyo")
        )
        assert web.marks() == {"person:1": 4}


async def test_a_stranger_to_everybody_raises_no_mark(serve: Serve) -> None:
    async with serve(**SINKS) as web:
        await web.slack(member())
        assert web.marks() == {}
