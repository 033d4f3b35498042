"""The dispatch tables are the list of what is handled; each kind in them has a whole recorded payload."""

import pytest

from handlers.clerk import events as clerk
from handlers.slack import events as slack
from tests.service.web import FIXTURES, Web, fixture

KINDS = [("clerk", kind) for kind in clerk.dispatch.handlers] + [("slack", kind) for kind in slack.dispatch.handlers]
# What each fixture does on an empty database: its status, and the tables that gain a row.
EFFECTS = {
    "clerk/user.created": ("applied", {"users", "identities", "user_data"}),
    "clerk/user.updated": ("applied", {"users", "identities", "user_data"}),
    "clerk/user.deleted": ("applied", {"identities"}),
    "clerk/session.created": ("waiting", set()),
    "clerk/session.ended": ("waiting", set()),
    "clerk/session.removed": ("waiting", set()),
    "clerk/session.revoked": ("waiting", set()),
    "slack/team_join": ("applied", {"identities"}),
    "slack/user_change": ("applied", {"identities"}),
    "slack/tokens_revoked": ("applied", {"limits"}),
    "slack/app_uninstalled": ("applied", {"limits"}),
    "slack/app_rate_limited": ("applied", set()),
}
EDGES = {
    "clerk/edge/deleted_without_id": "ignored",
    "clerk/edge/unhandled_type": "ignored",
    "clerk/edge/session_without_user": "waiting",
    "slack/edge/bot": "ignored",
    "slack/edge/foreign_team": "ignored",
    "slack/edge/stranger": "ignored",
}  # every other edge is applied
RECORDED_EDGES = sorted(
    f"{platform}/edge/{path.stem}"
    for platform in ("clerk", "slack")
    for path in (FIXTURES / platform / "edge").glob("*")
)
BUT_JOBS = {"sync_actions": " WHERE sink <> 'clock'"}  # their marks are there from the start
TABLES = ("users", "identities", "user_data", "workspace_members", "limits", "sync_actions")


@pytest.mark.parametrize(("platform", "kind"), KINDS)
def test_every_kind_that_is_handled_has_a_fixture_and_a_stated_effect(platform: str, kind: str) -> None:
    assert (FIXTURES / platform / f"{kind}.json").is_file()
    assert f"{platform}/{kind}" in EFFECTS


@pytest.mark.parametrize("name", EFFECTS)
async def test_every_fixture_is_accepted_and_has_its_effect(web: Web, name: str) -> None:
    status, changed = EFFECTS[name]
    platform, _, kind = name.partition("/")
    assert await (web.clerk if platform == "clerk" else web.slack)(fixture(name)) == status
    assert {table for table in TABLES if web.rows(f"SELECT 1 FROM {table}{BUT_JOBS.get(table, '')}")} == changed  # noqa: S608
    (event,) = web.events()
    assert (event["source"], event["type"], event["status"]) == (platform, kind, status)


@pytest.mark.parametrize("name", EFFECTS)
async def test_every_fixture_changes_nothing_the_second_time(web: Web, name: str) -> None:
    platform = "clerk" if name.startswith("clerk") else "slack"
    await web.send(platform, fixture(name), event_id="msg_same")
    before = [web.rows(f"SELECT * FROM {table}") for table in (*TABLES, "webhook_events")]  # noqa: S608
    again = await web.send(platform, fixture(name), event_id="msg_same")
    assert (again.status_code, again.json()) == (200, {"status": "duplicate"})
    assert [web.rows(f"SELECT * FROM {table}") for table in (*TABLES, "webhook_events")] == before  # noqa: S608


@pytest.mark.parametrize("name", RECORDED_EDGES)
async def test_every_recorded_edge_is_accepted(web: Web, name: str) -> None:
    platform = "clerk" if name.startswith("clerk") else "slack"
    answer = await web.send(platform, fixture(name))
    assert (answer.status_code, answer.json()) == (200, {"status": EDGES.get(name, "applied")})


async def test_the_life_of_one_person_told_by_the_fixtures(web: Web) -> None:
    maren = "user_3YQ0HmwguACCzm0IQlpj2blcZzl"
    for name in ("session.created", "user.created", "session.ended", "session.removed", "session.revoked"):
        await web.clerk(fixture(f"clerk/{name}"))
    await web.slack(fixture("slack/team_join"))
    joined = web.person(maren)
    assert (joined["email"], joined["name"]) == ("maren.holm@example.com", "Maren Hölm-Okafor")
    assert (joined["slack_user_id"], joined["role"], joined["status"]) == ("U07M4R3NHLM", "member", "active")
    assert web.data(maren)["session_count"] == 1
    await web.clerk(fixture("clerk/user.updated"))
    await web.slack(fixture("slack/user_change"))
    assert web.person(maren)["name"] == "Maren Hölm"
    assert web.data(maren)["profile"]["title"] == "Staff Site Reliability Engineer"
    assert [entry["last_name"] for entry in web.data(maren)["name_history"]] == ["Hölm"]
    await web.clerk(fixture("clerk/user.deleted"))
    assert web.people() == web.rows("SELECT * FROM user_data") == []
    assert web.identity("slack", "U07M4R3NHLM")["user_id"] is None
