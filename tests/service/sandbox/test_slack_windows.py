"""Slack's stand-in refuses what Slack would: spent triggers, views too long, empty groups."""

import json
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from service.sandbox import World
from service.sandbox.people import Persona

Json = dict[str, Any]
TITLE = {"type": "plain_text", "text": "Title"}
TEXT = {"type": "section", "text": {"type": "mrkdwn", "text": "*hello*"}}
INPUT = {
    "type": "input",
    "block_id": "b",
    "label": {"type": "plain_text", "text": "Why"},
    "element": {"type": "plain_text_input", "action_id": "why"},
}
BUTTON = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}


def modal(*blocks: Json, **more: Any) -> Json:
    return {"type": "modal", "title": TITLE, "blocks": list(blocks or (TEXT,)), **more}


def text(length: int) -> Json:
    return {"type": "plain_text", "text": "x" * length}


def select(count: int, **option: Any) -> Json:
    options = [{"text": text(5), "value": str(number), **option} for number in range(count)]
    return {**INPUT, "element": {"type": "static_select", "action_id": "s", "options": options}}


@pytest.fixture
def ada(world: World, people: list[Persona]) -> Persona:
    world.admit(people[0])
    return people[0]


async def error_of(call: Any) -> Any:
    with pytest.raises(SlackApiError) as refused:
        await call
    return refused.value.response


async def test_a_window_opens_before_the_one_whose_trigger_it_is(
    world: World, slack: AsyncWebClient, ada: Persona
) -> None:
    trigger = world.slack.trigger(ada.slack_id)
    answer = await slack.views_open(trigger_id=trigger, view=modal(private_metadata="{}"))
    assert answer["view"]["id"].startswith("V")
    assert answer["view"]["hash"]
    assert world.slack.windows[ada.slack_id]["private_metadata"] == "{}"


async def test_a_trigger_is_good_for_three_seconds_and_one_window(
    world: World, slack: AsyncWebClient, ada: Persona
) -> None:
    trigger = world.slack.trigger(ada.slack_id)
    await slack.views_open(trigger_id=trigger, view=modal())
    wrong = {
        "exchanged_trigger_id": trigger,
        "expired_trigger_id": world.slack.trigger(ada.slack_id, age_s=3.1),
        "invalid_trigger_id": "12.34.abc",
    }
    for error, one in wrong.items():
        assert (await error_of(slack.views_open(trigger_id=one, view=modal())))["error"] == error


WRONG: dict[str, Json] = {
    "a home page as a window": {"type": "home", "blocks": [TEXT]},
    "no title": {"type": "modal", "blocks": [TEXT]},
    "a title of 25 characters": modal(title=text(25)),
    "a title in markup": modal(title={"type": "mrkdwn", "text": "x"}),
    "a button label of 25 characters": modal(submit=text(25)),
    "no blocks": {"type": "modal", "title": TITLE},
    "101 blocks": modal(*[TEXT] * 101),
    "a block of no kind": modal({"type": "table"}),
    "a property nobody knows": modal(colour="red"),
    "a block's property nobody knows": modal({**TEXT, "colour": "red"}),
    "metadata of 3,001 characters": modal(private_metadata="x" * 3_001),
    "a callback id of 256": modal(callback_id="x" * 256),
    "an empty section": modal({"type": "section", "text": {"type": "mrkdwn", "text": ""}}),
    "a section of 3,001 characters": modal({"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}),
    "a header of 151": modal({"type": "header", "text": text(151)}),
    "an input without a button to submit": modal(INPUT),
    "two blocks of one id": modal({**TEXT, "block_id": "a"}, {**TEXT, "block_id": "a"}),
    "no options": modal(select(0), submit=TITLE),
    "101 options": modal(select(101), submit=TITLE),
    "an option of 76 characters": modal(select(1, text=text(76)), submit=TITLE),
    "an option's value of 151": modal(select(1, value="x" * 151), submit=TITLE),
    "a button label of 76": modal({"type": "actions", "elements": [{**BUTTON, "text": text(76)}]}),
    "26 buttons": modal({"type": "actions", "elements": [{**BUTTON, "action_id": str(n)} for n in range(26)]}),
    "one action id twice": modal({"type": "actions", "elements": [BUTTON, BUTTON]}),
    "an input of an unknown kind": modal({**INPUT, "element": {**BUTTON}}, submit=TITLE),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_view_that_slack_would_refuse(world: World, slack: AsyncWebClient, ada: Persona, name: str) -> None:
    trigger = world.slack.trigger(ada.slack_id)
    response = await error_of(slack.views_open(trigger_id=trigger, view=WRONG[name]))
    assert response["error"] == "invalid_arguments"
    assert response["response_metadata"]["messages"][0].startswith("[ERROR]")
    assert world.slack.windows == {}


async def test_the_longest_that_slack_takes(world: World, slack: AsyncWebClient, ada: Persona) -> None:
    view = modal(
        *[TEXT] * 98,
        INPUT,
        select(100) | {"block_id": "c"},
        submit=text(24),
        title=text(24),
        private_metadata="x" * 3_000,
    )
    assert (await slack.views_open(trigger_id=world.slack.trigger(ada.slack_id), view=view))["ok"]


async def test_a_home_page_is_published_and_replaced(world: World, slack: AsyncWebClient, ada: Persona) -> None:
    first = await slack.views_publish(user_id=ada.slack_id, view={"type": "home", "blocks": [TEXT]})
    again = await slack.views_publish(user_id=ada.slack_id, view={"type": "home", "blocks": [TEXT, TEXT]})
    assert first["view"]["id"] == again["view"]["id"]
    assert len(world.slack.homes[ada.slack_id]["blocks"]) == 2
    for view, user in (({"type": "home", "blocks": [TEXT]}, "U0NOBODY"), (modal(), ada.slack_id)):
        assert (await error_of(slack.views_publish(user_id=user, view=view)))["error"] == "invalid_arguments"
    stale = slack.views_publish(user_id=ada.slack_id, view={"type": "home", "blocks": []}, hash=first["view"]["hash"])
    assert (await error_of(stale))["error"] == "hash_conflict"


async def test_a_topic_is_escaped_bounded_and_needs_a_member(world: World, slack: AsyncWebClient) -> None:
    inside, outside = world.slack.add_channel("in"), world.slack.add_channel("out", member=False)
    old = world.slack.add_channel("old", archived=True)
    await slack.conversations_setTopic(channel=inside, topic="a & b")
    assert (await slack.conversations_info(channel=inside))["channel"]["topic"]["value"] == "a &amp; b"
    wrong = {
        "too_long": slack.conversations_setTopic(channel=inside, topic="x" * 251),
        "not_in_channel": slack.conversations_setTopic(channel=outside, topic="x"),
        "is_archived": slack.conversations_setTopic(channel=old, topic="x"),
        "channel_not_found": slack.conversations_setTopic(channel="C0NO", topic="x"),
    }
    for error, call in wrong.items():
        assert (await error_of(call))["error"] == error


async def test_a_user_group_is_never_empty_and_holds_members_only(
    world: World, slack: AsyncWebClient, ada: Persona
) -> None:
    group = world.slack.add_usergroup()
    await slack.usergroups_users_update(usergroup=group, users=[ada.slack_id])
    assert (await slack.usergroups_users_list(usergroup=group))["users"] == [ada.slack_id]
    world.slack.deactivate(ada.slack_id)
    wrong = {
        "no_users_provided": slack.usergroups_users_update(usergroup=group, users=[]),
        "invalid_users": slack.usergroups_users_update(usergroup=group, users=[ada.slack_id]),
        "no_such_subteam": slack.usergroups_users_list(usergroup="S0NO"),
    }
    for error, call in wrong.items():
        assert (await error_of(call))["error"] == error


@pytest.mark.parametrize("scope", ["channels:write.topic", "usergroups:read", "usergroups:write"])
async def test_each_needs_its_scope(world: World, slack: AsyncWebClient, scope: str) -> None:
    world.slack.scopes.remove(scope)
    calls = {
        "channels:write.topic": slack.conversations_setTopic(channel="C", topic="x"),
        "usergroups:read": slack.usergroups_users_list(usergroup="S"),
        "usergroups:write": slack.usergroups_users_update(usergroup="S", users=["U"]),
    }
    wanted = calls.pop(scope)
    assert (await error_of(wanted))["error"] == "missing_scope"
    for other in calls.values():
        assert (await error_of(other))["error"] != "missing_scope"


async def test_a_message_to_somebody_deactivated_is_refused(world: World, slack: AsyncWebClient, ada: Persona) -> None:
    world.slack.deactivate(ada.slack_id)
    assert (await error_of(slack.chat_postMessage(channel=ada.slack_id, text="x")))["error"] == "channel_not_found"


async def test_blocks_of_a_message_are_looked_at_too(world: World, slack: AsyncWebClient) -> None:
    channel = world.slack.add_channel("in")
    wrong = json.dumps([{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}])
    assert (await error_of(slack.chat_postMessage(channel=channel, text="x", blocks=wrong)))[
        "error"
    ] == "invalid_blocks"
