"""The part of Slack's stand-in that people look at: triggers, windows, home pages, a channel's topic, user groups."""

import hashlib
import html
import json
import time
from typing import NoReturn

from service.sandbox.people_slack import TEAM_ID
from service.sandbox.slack_kit import Invalid, view_of
from service.sandbox.wire import Answer, Json, RefusedError

TRIGGER_S = 3.0
LONGEST_TOPIC = 250


def refuse(error: str, **more: object) -> NoReturn:
    raise RefusedError(Answer({"ok": False, "error": error, **more}))


class Windows:
    """`windows` are the open modals and `homes` the home pages, by user; `usergroups` the members, by group."""

    def __init__(self) -> None:
        self.users: dict[str, Json] = {}
        self.channels: dict[str, Json] = {}
        self.bot_id, self.bot_user_id, self.app_id = "", "", ""
        self.windows: dict[str, Json] = {}
        self.homes: dict[str, Json] = {}
        self.usergroups: dict[str, list[str]] = {}
        self._triggers: dict[str, tuple[str, float]] = {}
        self._spent: set[str] = set()
        self._made = 0

    # -- for whoever plays a person ------------------------------------------------------------------------

    def trigger(self, user_id: str, *, age_s: float = 0.0) -> str:
        """A trigger id, as it comes with a command or a press: good for 3 s and for one window."""
        self._made += 1
        name = f"{self._made}.{self._made * 7919}.{hashlib.sha256(str(self._made).encode()).hexdigest()[:32]}"
        self._triggers[name] = user_id, time.monotonic() - age_s
        return name

    def become(self, user_id: str, view: object) -> Json:
        """What `response_action: update` makes of the user's window; Invalid where Slack would show an error."""
        held = self.windows[user_id]
        self.windows[user_id] = self._shown(view_of(view, ("modal",)), held["id"])
        return self.windows[user_id]

    def add_usergroup(self, *members: str) -> str:
        group = f"S0{len(self.usergroups) + 1:09d}"
        self.usergroups[group] = list(members)
        return group

    # -- the API -------------------------------------------------------------------------------------------

    def views_open(self, args: Json) -> Json:
        user_id = self._exchange(args.get("trigger_id"))
        view = self._valid(args.get("view"), "modal")
        self.windows[user_id] = self._shown(view)
        return {"view": self.windows[user_id]}

    def views_publish(self, args: Json) -> Json:
        user_id = args.get("user_id", "")
        if user_id not in self.users:
            refuse("invalid_arguments", response_metadata={"messages": ["[ERROR] invalid `user_id`"]})
        view = self._valid(args.get("view"), "home")
        held = self.homes.get(user_id)
        if args.get("hash") and held and args["hash"] != held["hash"]:
            refuse("hash_conflict")
        self.homes[user_id] = self._shown(view, held["id"] if held else None)
        return {"view": self.homes[user_id]}

    def conversations_set_topic(self, args: Json) -> Json:
        channel = self.channels.get(args.get("channel", ""))
        if channel is None:
            refuse("channel_not_found")
        if channel["is_archived"]:
            refuse("is_archived")
        if not channel["is_member"]:
            refuse("not_in_channel")
        said = html.escape(str(args.get("topic", "")), quote=False)
        if len(said) > LONGEST_TOPIC:
            refuse("too_long")
        channel["topic"] = {"value": said, "creator": self.bot_user_id, "last_set": int(time.time())}
        return {"channel": channel}

    def usergroups_users_list(self, args: Json) -> Json:
        return {"users": list(self._group(args))}

    def usergroups_users_update(self, args: Json) -> Json:
        """The whole list; an empty one is refused."""
        group = self._group(args)
        said = args.get("users") or ""
        users = [one for one in (said.split(",") if isinstance(said, str) else said) if one]
        if not users:
            refuse("no_users_provided")
        if any(user not in self.users or self.users[user].get("deleted") for user in users):
            refuse("invalid_users")
        group[:] = users
        return {"usergroup": {"id": args["usergroup"], "team_id": TEAM_ID, "is_usergroup": True, "users": users}}

    def _group(self, args: Json) -> list[str]:
        if args.get("usergroup", "") not in self.usergroups:
            refuse("no_such_subteam")
        return self.usergroups[args["usergroup"]]

    def _exchange(self, trigger: object) -> str:
        if trigger in self._spent:
            refuse("exchanged_trigger_id")
        if not isinstance(trigger, str) or trigger not in self._triggers:
            refuse("invalid_trigger_id")
        user_id, made = self._triggers.pop(trigger)
        self._spent.add(trigger)
        if time.monotonic() - made > TRIGGER_S:
            refuse("expired_trigger_id")
        return user_id

    def _valid(self, raw: object, kind: str) -> Json:
        if raw is None:
            refuse("invalid_arguments", response_metadata={"messages": ["[ERROR] missing required field: view"]})
        try:
            return view_of(raw, (kind,))
        except Invalid as wrong:
            refuse("invalid_arguments", response_metadata={"messages": [str(wrong)]})

    def _shown(self, view: Json, view_id: str | None = None) -> Json:
        """The view as Slack keeps it: with ids it did not bring."""
        self._made += 1
        blocks = [{"block_id": f"b{self._made}{index}", **block} for index, block in enumerate(view["blocks"])]
        kept = {"private_metadata": "", "callback_id": "", **view, "blocks": blocks}
        identity = view_id or f"V0{self._made:09d}"
        seal = hashlib.sha256(json.dumps([kept, self._made]).encode()).hexdigest()[:8]
        own = {"app_id": self.app_id, "bot_id": self.bot_id, "team_id": TEAM_ID, "app_installed_team_id": TEAM_ID}
        state: Json = {"state": {"values": {}}, "root_view_id": identity, "previous_view_id": None}
        return {"id": identity, "hash": f"{int(time.time())}.{seal}", **own, **state, **kept}
