"""Somebody at Slack's keyboard, who types, presses and fills in: Slack's requests, signed, to our doors."""

import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from service.sandbox.people_slack import APP_ID, TEAM_ID
from service.sandbox.senders import Door, sign_slack
from service.sandbox.slack import Slack
from service.sandbox.slack_kit import Invalid, blocks_of, elements_of, texts_of
from service.sandbox.wire import Json

COMMANDS, INTERACTIVITY = "/slack/commands", "/slack/interactivity"
PATIENCE_S = 3.0
TROUBLE = "We had some trouble connecting. Try again?"  # Slack's own words in a window


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of it: the answer, and what a person now reads."""

    status: int
    body: Any
    text: str


def form_of(fields: Json) -> bytes:
    return urlencode(fields).encode()


class Hand:
    """One member of the team. `window` is what is open before them, `home` their home page."""

    def __init__(self, slack: Slack, client: httpx.AsyncClient, door: Door, user_id: str) -> None:
        self._slack = slack
        self._client = client
        self._door = door
        self.user_id = user_id

    @property
    def window(self) -> Json | None:
        return self._slack.windows.get(self.user_id)

    @property
    def home(self) -> Json | None:
        return self._slack.homes.get(self.user_id)

    def reads(self) -> str:
        """The window, as text."""
        return "\n".join(texts_of(self.window or {}))

    async def type(self, command: str, text: str = "", *, trigger_id: str | None = None) -> Heard:
        """`text` as Slack sends it: &, < and > as entities, people as `<@U1|name>`."""
        self._slack.windows.pop(self.user_id, None)
        fields = self.command(command, text, trigger_id or self._slack.trigger(self.user_id))
        status, body = await self.post(COMMANDS, form_of(fields))
        if status != 200:  # noqa: PLR2004 - Slack shows nothing of another answer
            return Heard(status, body, f"{command} failed with the error “http_service_error”")
        if isinstance(body, dict):
            blocks_of(body.get("blocks", []), "message")
            return Heard(status, body, "\n".join(texts_of(body.get("blocks"))) or body.get("text", ""))
        return Heard(status, body, self.reads())

    def command(self, command: str, text: str, trigger_id: str) -> Json:
        user = self._slack.users.get(self.user_id, {})
        return {
            "token": "sandbox-verification-token",
            "team_id": TEAM_ID,
            "team_domain": "sandbox",
            "channel_id": "C0000000001",
            "channel_name": "general",
            "user_id": self.user_id,
            "user_name": user.get("name", "somebody"),
            "command": command,
            "text": text,
            "api_app_id": APP_ID,
            "is_enterprise_install": "false",
            "response_url": "https://hooks.slack.example/commands/T0/1/abc",
            "trigger_id": trigger_id,
        }

    async def press(self, action_id: str, value: str | None = None, *, trigger_id: str | None = None) -> Heard:
        """A button on the home page, or one that an answer showed (then `value` says which)."""
        found = [one for _, one in elements_of(self.home or {"blocks": []}) if one["action_id"] == action_id]
        if value is not None:
            found = [one for one in found if one.get("value") == value] or [{"value": value}]
        assert found, f"there is no button {action_id}"
        action = {"type": "button", "action_id": action_id, "block_id": "b1", "value": found[0]["value"]}
        payload = self._payload("block_actions") | {
            "trigger_id": trigger_id or self._slack.trigger(self.user_id),
            "actions": [{**action, "action_ts": f"{time.time():.6f}"}],
            "container": {"type": "view"},
        }
        self._slack.windows.pop(self.user_id, None)
        status, body = await self.post(INTERACTIVITY, form_of({"payload": json.dumps(payload)}))
        return Heard(status, body, self.reads() if status == 200 else "⚠")  # noqa: PLR2004 - as above

    async def submit(self, **chosen: str) -> Heard:
        """Press the window's button, with these values by action id."""
        status, body = await self.post(INTERACTIVITY, self.submission(**chosen))
        return self.becomes(status, body)

    def submission(self, **chosen: str) -> bytes:
        """The request that a submission is: to be sent once, or twice."""
        window = self.window
        assert window is not None, "no window is open"
        assert "submit" in window, "this window has no button"
        values = {block["block_id"]: {one["action_id"]: _state(one, chosen)} for block, one in elements_of(window)}
        payload = self._payload("view_submission") | {
            "trigger_id": self._slack.trigger(self.user_id),
            "view": {**window, "state": {"values": values}},
            "response_urls": [],
        }
        return form_of({"payload": json.dumps(payload)})

    def becomes(self, status: int, body: Any) -> Heard:
        """What the answer to a submission does to the window."""
        if status != 200:  # noqa: PLR2004 - Slack tells people so
            return Heard(status, body, TROUBLE)
        if not body or body.get("response_action") == "clear":
            self._slack.windows.pop(self.user_id, None)
            return Heard(status, body, "")
        if body["response_action"] == "errors":
            inputs = {block["block_id"] for block in (self.window or {})["blocks"] if block["type"] == "input"}
            if not body["errors"].keys() <= inputs:
                raise Invalid("errors name blocks that are no input")
            return Heard(status, body, "\n".join(body["errors"].values()))
        self._slack.become(self.user_id, body["view"])
        return Heard(status, body, self.reads())

    async def post(self, path: str, body: bytes, headers: Json | None = None) -> tuple[int, Any]:
        """Signed as Slack signs, unless `headers` are given."""
        signed = sign_slack(self._door.secret, int(time.time()), body) if headers is None else headers
        answer = await self._client.post(
            self._door.url + path,
            content=body,
            headers={"Content-Type": "application/x-www-form-urlencoded", **signed},
            timeout=PATIENCE_S,
        )
        if "json" in answer.headers.get("content-type", ""):
            return answer.status_code, answer.json()
        return answer.status_code, answer.text or None

    def _payload(self, kind: str) -> Json:
        name = self._slack.users.get(self.user_id, {}).get("name", "somebody")
        return {
            "type": kind,
            "team": {"id": TEAM_ID, "domain": "sandbox"},
            "user": {"id": self.user_id, "username": name, "name": name, "team_id": TEAM_ID},
            "api_app_id": APP_ID,
            "token": "sandbox-verification-token",
            "is_enterprise_install": False,
            "enterprise": None,
        }


def _state(element: Json, chosen: Json) -> Json:
    """What Slack says of an input: what was chosen must have been on offer."""
    kind, value = element["type"], chosen.get(element["action_id"])
    if kind == "plain_text_input":
        return {"type": kind, "value": value}
    if kind == "users_select":
        return {"type": kind, "selected_user": value}
    found = [option for option in element.get("options", []) if value in (option["value"], option["text"]["text"])]
    assert found, f"{value} is not on offer"
    return {"type": kind, "selected_option": found[0]}
