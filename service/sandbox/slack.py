"""Slack's Web API on this machine: people, channels and messages; an error is a 200 that says `ok: false`."""

import base64
import binascii
import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from service.sandbox.faults import Fault
from service.sandbox.people_slack import APP_ID, BOT_USER_ID, TEAM_ID, slack_deactivated
from service.sandbox.slack_kit import Invalid, blocks_of
from service.sandbox.slack_windows import Windows, refuse
from service.sandbox.wire import Answer, Call, Json

SCOPES = (
    "users:read",
    "users:read.email",
    "chat:write",
    "channels:read",
    "team:read",
    "commands",
    "channels:write.topic",
    "usergroups:read",
    "usergroups:write",
)
MAX_LIST = 1000
MAX_TEXT = 40_000


class Slack(Windows):
    """One workspace and the app installed in it.

    `users` and `channels` are raw objects by id; `messages` is what was posted, oldest first. `revoked` names
    the error every call gets (`token_revoked`, `account_inactive`); `scopes` may be narrowed.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = random.Random(f"slack {seed}")
        self.token = f"xoxb-{rng.getrandbits(160):040x}"
        self.signing_secret = f"{rng.getrandbits(128):032x}"
        self.scopes = set(SCOPES)
        self.revoked: str | None = None
        self.team: Json = {
            "id": TEAM_ID,
            "name": "Sandbox",
            "domain": "sandbox",
            "email_domain": "example.com",
        }
        self.bot_user_id, self.bot_id, self.app_id = BOT_USER_ID, "B0ROLLCALL1", APP_ID
        self.messages: list[Json] = []
        self._last_ts = 0

    # -- for the tests and the demo ------------------------------------------------------------------------

    def put(self, user: Mapping[str, Any]) -> Json:
        """Adds or replaces a member, as `users.list` answers them with every scope."""
        self.users[user["id"]] = dict(user)
        return self.users[user["id"]]

    def deactivate(self, user_id: str) -> Json:
        """The member leaves: `deleted`, most flags gone."""
        return self.put(slack_deactivated(self.users[user_id], int(time.time())))

    def add_channel(self, name: str, *, member: bool = True, archived: bool = False) -> str:
        """A public channel, with our app in it or not; gives its id."""
        channel_id = f"C0{len(self.channels) + 1:09d}"
        self.channels[channel_id] = {
            "id": channel_id,
            "name": name,
            "is_channel": True,
            "is_private": False,
            "is_archived": archived,
            "is_member": member,
            "context_team_id": TEAM_ID,
            "topic": {"value": "", "creator": "", "last_set": 0},
        }
        return channel_id

    # -- the API -------------------------------------------------------------------------------------------

    def handle(self, call: Call) -> Answer:
        """Answers one request; raises RefusedError for what Slack would refuse."""
        name = call.path.removeprefix("/api/")
        if name not in METHODS:
            refuse("unknown_method", req_method=name)
        scope, method = METHODS[name]
        args = _arguments(call)
        self._authorise(call.bearer or args.get("token"), scope)
        answer = Answer({"ok": True, **method(self, args)})
        return Answer(answer.body, 200, self._scope_headers(scope))

    def fault(self, fault: Fault, call: Call, done: Answer | None) -> Answer:  # noqa: ARG002  # same for all
        """Slack tells its own errors inside a 200; only haste and breakdowns have a status."""
        codes = {429: "ratelimited", 503: "service_unavailable", 500: "internal_error"}
        status = fault.status if fault.status == 429 or fault.status >= 500 else 200  # noqa: PLR2004
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return Answer({"ok": False, "error": fault.code or codes.get(status, "fatal_error")}, status, headers)

    def sign(self, answer: Answer) -> Answer:
        return answer

    def _authorise(self, token: object, scope: str | None) -> None:
        if not token:
            refuse("not_authed")
        if token != self.token:
            refuse("invalid_auth")
        if self.revoked is not None:
            refuse(self.revoked)
        if scope is not None and scope not in self.scopes:
            refuse("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))

    def _scope_headers(self, scope: str | None) -> dict[str, str]:
        return {"X-OAuth-Scopes": ",".join(sorted(self.scopes)), "X-Accepted-OAuth-Scopes": scope or ""}

    def _seen(self, user: Json, args: Json) -> Json:
        """A member as this token may see them."""
        seen = user if args.get("include_locale") in ("1", "true", True) else {**user}
        if seen is not user:
            seen.pop("locale", None)
        if "users:read.email" in self.scopes or "email" not in user.get("profile", {}):
            return seen
        return {**seen, "profile": {k: v for k, v in user["profile"].items() if k != "email"}}

    def auth_test(self, _args: Json) -> Json:
        return {
            "url": f"https://{self.team['domain']}.slack.com/",
            "team": self.team["name"],
            "user": "rollcall",
            "team_id": self.team["id"],
            "user_id": self.bot_user_id,
            "bot_id": self.bot_id,
            "is_enterprise_install": False,
        }

    def team_info(self, _args: Json) -> Json:
        return {"team": self.team}

    def users_list(self, args: Json) -> Json:
        limit = _limit(args)
        ids = list(self.users)
        start = _position(ids, args.get("cursor"))
        end = len(ids) if limit == 0 else start + limit
        following = f"user:{ids[end]}" if end < len(ids) else ""
        return {
            "members": [self._seen(self.users[user_id], args) for user_id in ids[start:end]],
            "cache_ts": int(time.time()),
            "response_metadata": {"next_cursor": base64.b64encode(following.encode()).decode()},
        }

    def users_info(self, args: Json) -> Json:
        user = self.users.get(args.get("user", ""))
        if user is None:
            refuse("user_not_found")
        return {"user": self._seen(user, args)}

    def users_lookup_by_email(self, args: Json) -> Json:
        """The deactivated are not found."""
        wanted = str(args.get("email", "")).casefold()
        for user in self.users.values():
            address = user.get("profile", {}).get("email")
            if wanted and address and address.casefold() == wanted and not user.get("deleted"):
                return {"user": self._seen(user, {})}
        return refuse("users_not_found")

    def conversations_info(self, args: Json) -> Json:
        if args.get("channel", "") not in self.channels:
            refuse("channel_not_found")
        return {"channel": self.channels[args["channel"]]}

    def chat_post_message(self, args: Json) -> Json:
        """To a channel's id or name, or to a member's id for a direct message."""
        channel_id = self._destination(args.get("channel"))
        text, blocks = args.get("text") or "", _structured(args.get("blocks"))
        if not text and not blocks and not args.get("attachments"):
            refuse("no_text")
        if len(text) > MAX_TEXT:
            refuse("msg_too_long")
        message: Json = {
            "type": "message",
            "user": self.bot_user_id,
            "bot_id": self.bot_id,
            "app_id": self.app_id,
            "team": self.team["id"],
            "text": text,
            "ts": self._next_ts(),
        }
        message |= {"blocks": blocks} if blocks else {}
        message |= {"thread_ts": args["thread_ts"]} if args.get("thread_ts") else {}
        self.messages.append({"channel": channel_id, **message})
        return {"channel": channel_id, "ts": message["ts"], "message": message}

    def _destination(self, wanted: object) -> str:
        if isinstance(wanted, str) and wanted in self.users:
            if self.users[wanted].get("deleted"):
                refuse("channel_not_found")
            return "D" + wanted[1:]
        name = str(wanted).lstrip("#")
        found = [c for c in self.channels.values() if wanted == c["id"] or name == c["name"]]
        if not found:
            refuse("channel_not_found")
        if found[0]["is_archived"]:
            refuse("is_archived")
        if not found[0]["is_member"]:
            refuse("not_in_channel")
        return str(found[0]["id"])

    def _next_ts(self) -> str:
        """Microseconds since the epoch; no two messages share one."""
        self._last_ts = max(self._last_ts + 1, time.time_ns() // 1000)
        return f"{self._last_ts // 10**6}.{self._last_ts % 10**6:06d}"


# method, the scope it needs
METHODS: dict[str, tuple[str | None, Callable[[Slack, Json], Json]]] = {
    "auth.test": (None, Slack.auth_test),
    "team.info": ("team:read", Slack.team_info),
    "users.list": ("users:read", Slack.users_list),
    "users.info": ("users:read", Slack.users_info),
    "users.lookupByEmail": ("users:read.email", Slack.users_lookup_by_email),
    "conversations.info": ("channels:read", Slack.conversations_info),
    "conversations.setTopic": ("channels:write.topic", Slack.conversations_set_topic),
    "chat.postMessage": ("chat:write", Slack.chat_post_message),
    "views.open": (None, Slack.views_open),
    "views.publish": (None, Slack.views_publish),
    "usergroups.users.list": ("usergroups:read", Slack.usergroups_users_list),
    "usergroups.users.update": ("usergroups:write", Slack.usergroups_users_update),
}


def _arguments(call: Call) -> Json:
    """Query string, form or JSON, as Slack takes them; JSON needs its content type."""
    args: Json = {name: values[-1] for name, values in call.query.items()}
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not call.body:
        return args
    if kind == "application/json":
        try:
            body = call.json()
        except ValueError:
            refuse("invalid_json")
        return {**args, **body} if isinstance(body, dict) else refuse("json_not_object")
    if kind == "application/x-www-form-urlencoded":
        return args | dict(parse_qsl(call.body.decode(), keep_blank_values=True))
    return refuse("invalid_form_data")


def _limit(args: Json) -> int:
    raw = str(args.get("limit", 0))
    if not raw.isdecimal() or int(raw) > MAX_LIST:
        refuse("invalid_limit")
    return int(raw)


def _position(ids: list[str], cursor: object) -> int:
    if not cursor:
        return 0
    try:
        user_id = base64.b64decode(str(cursor), validate=True).decode().removeprefix("user:")
        return ids.index(user_id)
    except (binascii.Error, ValueError):
        return refuse("invalid_cursor")


def _structured(blocks: Any) -> list[Json]:
    """Blocks arrive as JSON, or as JSON in a form's text."""
    try:
        parsed = json.loads(blocks) if isinstance(blocks, str) and blocks else blocks or []
    except ValueError:
        parsed = None
    try:
        blocks_of(parsed, "message")
    except Invalid as wrong:
        refuse("invalid_blocks", response_metadata={"messages": [str(wrong)]})
    assert isinstance(parsed, list)
    return parsed
