"""What Slack says about our own app: its token, its removal, its limits, and whether we are there at all."""

import pytest

from tests.service.web import SINKS, Serve, Web, fixture


@pytest.mark.parametrize(
    ("name", "why"), [("tokens_revoked", "the bot token was revoked"), ("app_uninstalled", "the app was uninstalled")]
)
async def test_without_a_token_sending_is_off_and_an_alert_is_kept(serve: Serve, name: str, why: str) -> None:
    async with serve(**SINKS) as web:
        assert await web.slack(fixture(f"slack/{name}")) == "applied"
        assert web.one("SELECT off, reason FROM limits WHERE name = 'slack'") == {"off": 1, "reason": why}
        (alert,) = web.alerts()
        assert why in alert
        assert "SLACK_BOT_TOKEN" in alert


async def test_it_is_said_once_however_often_slack_says_it(serve: Serve) -> None:
    async with serve(**SINKS) as web:
        for _ in range(3):
            await web.slack(fixture("slack/tokens_revoked"))
        assert len(web.alerts()) == 1


async def test_a_users_own_token_is_not_ours(serve: Serve) -> None:
    message = fixture("slack/tokens_revoked")
    message["event"]["tokens"] = {"oauth": ["U07M4R3NHLM"], "bot": []}
    async with serve(**SINKS) as web:
        assert await web.slack(message) == "ignored"
        assert web.alerts() == web.rows("SELECT * FROM limits WHERE name = 'slack' AND off") == []


async def test_people_are_still_heard_of_while_sending_is_off(web: Web) -> None:
    await web.slack(fixture("slack/app_uninstalled"))
    assert await web.slack(fixture("slack/team_join")) == "applied"


async def test_dropped_events_are_noted_once_a_minute(web: Web) -> None:
    message = fixture("slack/app_rate_limited")
    assert [await web.slack(message), await web.slack(message)] == ["applied", "duplicate"]
    assert await web.slack(message | {"minute_rate_limited": message["minute_rate_limited"] + 60}) == "applied"
    assert [event["type"] for event in web.events()] == ["app_rate_limited"] * 2


async def test_the_challenge_is_answered_and_nothing_is_stored(web: Web) -> None:
    message = fixture("slack/url_verification")
    answer = await web.send("slack", message)
    assert (answer.status_code, answer.json()) == (200, {"challenge": message["challenge"]})
    assert web.events() == []


async def test_a_challenge_nobody_signed_is_refused(web: Web) -> None:
    answer = await web.send("slack", fixture("slack/url_verification"), {})
    assert answer.status_code == 401
    assert fixture("slack/url_verification")["challenge"] not in answer.text


async def test_a_retry_of_slacks_is_the_same_event(web: Web) -> None:
    message = fixture("slack/team_join")
    assert [await web.slack(message), await web.slack(message)] == ["applied", "duplicate"]
    assert [event["event_id"] for event in web.events()] == [message["event_id"]]


@pytest.mark.parametrize("type_", [None, "", 5, "x" * 201])
async def test_the_reason_names_the_type_of_an_event_within(web: Web, type_: object) -> None:
    message = fixture("slack/team_join")
    message["event"]["type"] = type_
    answer = await web.send("slack", message)
    assert (answer.status_code, web.statuses()) == (400, ["failed"])
    assert answer.json()["reason"] == "event.type: must be a string of 1 to 200 characters"
