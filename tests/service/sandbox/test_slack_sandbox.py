"""Slack's stand-in, asked through slack_sdk, refuses inside a 200 and hides what the scopes do not cover."""

from typing import Any

import httpx
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from service.sandbox import World
from service.sandbox.people import BOT_USER_ID, TEAM_ID, Persona


async def error_of(call: Any) -> Any:
    with pytest.raises(SlackApiError) as refused:
        await call
    return refused.value.response


async def test_auth_test_names_team_bot_and_scopes(world: World, slack: AsyncWebClient) -> None:
    answer = await slack.auth_test()
    assert (answer["team_id"], answer["user_id"]) == (TEAM_ID, BOT_USER_ID)
    assert set(answer.headers["X-OAuth-Scopes"].split(",")) == world.slack.scopes


async def test_a_wrong_token_is_an_error_inside_a_200(world: World) -> None:
    response = await error_of(AsyncWebClient(token="xoxb-wrong", base_url=world.slack_url).auth_test())
    assert (response.status_code, response["error"]) == (200, "invalid_auth")


async def test_no_token_is_not_authed(world: World) -> None:
    assert (await error_of(AsyncWebClient(base_url=world.slack_url).auth_test()))["error"] == "not_authed"


async def test_a_token_may_come_as_a_form_field(world: World) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{world.slack_url}auth.test", data={"token": world.slack.token})
    assert answer.json()["ok"] is True


@pytest.mark.parametrize("state", ["token_revoked", "account_inactive"])
async def test_a_revoked_token_says_how(world: World, slack: AsyncWebClient, state: str) -> None:
    world.slack.revoked = state
    assert (await error_of(slack.auth_test()))["error"] == state


async def test_a_missing_scope_is_named(world: World, slack: AsyncWebClient) -> None:
    world.slack.scopes.remove("users:read.email")
    response = await error_of(slack.users_lookupByEmail(email="a@example.com"))
    assert (response["error"], response["needed"]) == ("missing_scope", "users:read.email")
    assert "chat:write" in response["provided"]


async def test_an_unknown_method_is_refused(slack: AsyncWebClient) -> None:
    assert (await error_of(slack.api_call("users.invent")))["error"] == "unknown_method"


async def test_users_are_listed_in_parts(world: World, slack: AsyncWebClient, people: list[Persona]) -> None:
    for person in people:
        world.admit(person)
    pages = [page["members"] async for page in await slack.users_list(limit=2)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [user["id"] for page in pages for user in page] == [person.slack_id for person in people]


async def test_a_wrong_cursor_is_refused(slack: AsyncWebClient) -> None:
    assert (await error_of(slack.users_list(cursor="dXNlcjpVWA==")))["error"] == "invalid_cursor"


async def test_without_its_scope_no_address_is_shown(
    world: World, slack: AsyncWebClient, people: list[Persona]
) -> None:
    world.admit(people[0])
    assert (await slack.users_info(user=people[0].slack_id))["user"]["profile"]["email"] == people[0].email
    world.slack.scopes.remove("users:read.email")
    assert "email" not in (await slack.users_info(user=people[0].slack_id))["user"]["profile"]
    assert "email" not in (await slack.users_list())["members"][0]["profile"]


async def test_a_member_is_found_by_address_whatever_its_case_until_deactivated(
    world: World, slack: AsyncWebClient, people: list[Persona]
) -> None:
    world.admit(people[0])
    address = str(people[0].email).upper()
    assert (await slack.users_lookupByEmail(email=address))["user"]["id"] == people[0].slack_id
    world.slack.deactivate(people[0].slack_id)
    assert (await error_of(slack.users_lookupByEmail(email=address)))["error"] == "users_not_found"
    assert (await slack.users_info(user=people[0].slack_id))["user"]["deleted"] is True


async def test_an_unknown_member_is_not_found(slack: AsyncWebClient) -> None:
    assert (await error_of(slack.users_info(user="U0NOBODY")))["error"] == "user_not_found"


async def test_a_message_is_kept_with_its_own_ts(world: World, slack: AsyncWebClient) -> None:
    channel = world.slack.add_channel("oncall")
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "hi"}}]
    first = await slack.chat_postMessage(channel=channel, text="Ada is on call", blocks=blocks)
    second = await slack.chat_postMessage(channel="#oncall", text="So is Grace", thread_ts=first["ts"])
    assert [message["text"] for message in world.slack.messages] == ["Ada is on call", "So is Grace"]
    assert world.slack.messages[0]["blocks"] == blocks
    assert world.slack.messages[1]["thread_ts"] == first["ts"] != second["ts"]


async def test_a_member_gets_a_direct_message(world: World, slack: AsyncWebClient, people: list[Persona]) -> None:
    world.admit(people[0])
    sent = await slack.chat_postMessage(channel=people[0].slack_id, text="hello")
    assert sent["channel"].startswith("D")


async def test_a_message_that_cannot_be_posted_is_refused_and_not_kept(world: World, slack: AsyncWebClient) -> None:
    inside, archived = world.slack.add_channel("in"), world.slack.add_channel("old", archived=True)
    outside = world.slack.add_channel("out", member=False)
    wrong = {
        "channel_not_found": slack.chat_postMessage(channel="C0NOWHERE", text="x"),
        "not_in_channel": slack.chat_postMessage(channel=outside, text="x"),
        "is_archived": slack.chat_postMessage(channel=archived, text="x"),
        "no_text": slack.api_call("chat.postMessage", json={"channel": inside}),
        "invalid_blocks": slack.api_call("chat.postMessage", data={"channel": inside, "blocks": "{"}),
        "msg_too_long": slack.chat_postMessage(channel=inside, text="x" * 40_001),
    }
    for error, call in wrong.items():
        assert (await error_of(call))["error"] == error
    assert world.slack.messages == []


async def test_team_and_channel_are_described(world: World, slack: AsyncWebClient) -> None:
    channel = world.slack.add_channel("oncall")
    assert (await slack.team_info())["team"]["id"] == TEAM_ID
    assert (await slack.conversations_info(channel=channel))["channel"]["is_member"] is True
    assert (await error_of(slack.conversations_info(channel="C0NO")))["error"] == "channel_not_found"


async def test_haste_is_a_429_with_retry_after_a_method(world: World, slack: AsyncWebClient) -> None:
    world.faults.limit("slack", requests=2, seconds=60, per_path=True)
    await slack.auth_test()
    await slack.auth_test()
    response = await error_of(slack.auth_test())
    assert (response.status_code, response["error"]) == (429, "ratelimited")
    assert 0 < int(response.headers["Retry-After"]) <= 60
    await slack.team_info()  # another method has a budget of its own


async def test_slack_sdk_waits_as_it_is_told(world: World, slack: AsyncWebClient) -> None:
    slack.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
    world.faults.add(platform="slack", status=429, retry_after=0)
    assert (await slack.auth_test())["ok"] is True
    assert [request.status for request in world.requests.to("slack")] == [429, 200]


async def test_a_breakdown_is_a_500(world: World, slack: AsyncWebClient) -> None:
    world.faults.add(platform="slack", status=500)
    assert (await error_of(slack.auth_test())).status_code == 500
