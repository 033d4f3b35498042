"""Says what must be true when a story is over, from the raw messages alone: no product code, no plot.

The rules, and nothing else: of one source's words about one id the newest counts (`updated_at`, then the time
of the envelope); a deletion in Clerk is final; a Slack member belongs to the person whose verified address
they confirmed; what Slack observes of them are preferences, unless they chose otherwise in Clerk.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from service.sandbox.people import Json
from service.sandbox.senders import Delivery

Status = Literal["active", "inactive", "banned", "locked"]
Role = Literal["admin", "member"]
_Version = tuple[int, int]
_SECONDS_END = 10**11
_PREFERENCES = ("theme", "notifications", "language", "timezone")


@dataclass(frozen=True, slots=True)
class ExpectedPerson:
    """One row of `users` as it must stand at the end. `session_count` counts the stream's sign-ins only."""

    clerk_id: str
    email: str | None
    name: str
    first_name: str | None
    last_name: str | None
    slack_user_id: str | None
    notion_person_id: str | None
    status: Status
    role: Role
    created_at_ms: int
    signup_source: str
    feature_flags: Any
    preferences: Any
    onboarding_status: Any
    session_count: int


@dataclass(slots=True)
class Oracle:
    """Reads lists and deliveries in any order, as often as they come; then answers."""

    team_id: str
    _clerk: dict[str, tuple[_Version, Json]] = field(default_factory=dict)
    _deleted: set[str] = field(default_factory=set)
    _sessions: dict[str, str] = field(default_factory=dict)
    _slack: dict[str, tuple[_Version, Json]] = field(default_factory=dict)
    _confirmed: set[tuple[str, str]] = field(default_factory=set)
    _notion: dict[str, str] = field(default_factory=dict)

    def read_lists(self, clerk: Iterable[Json], slack: Iterable[Json], notion: Iterable[Json]) -> None:
        for user in clerk:
            self._hear_clerk(user, 0)
        for user in slack:
            self._hear_slack(user, 0)
        for user in notion:
            address = user.get("person", {}).get("email")
            if address:
                self._notion[address.lower()] = user["id"]

    def read(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.forged:
                continue
            message = json.loads(delivery.body)
            if delivery.platform == "clerk":
                self._read_clerk(delivery.type, message)
            elif delivery.type in {"team_join", "user_change"}:
                self._hear_slack(message["event"]["user"], message["event_time"])

    def people(self) -> list[ExpectedPerson]:
        counts = Counter(self._sessions.values())
        members = self._members()
        return [self._person(user, members, counts[user["id"]]) for user in self.clerk_users()]

    def clerk_users(self) -> list[Json]:
        """The accounts Clerk lists in the end, newest first as it sorts them."""
        alive = [user for id_, (_, user) in self._clerk.items() if id_ not in self._deleted]
        return sorted(alive, key=lambda user: (-user["created_at"], user["id"]))

    def slack_users(self) -> list[Json]:
        """The members `users.list` gives in the end; other companies' people are not among them."""
        return [user for _, user in self._slack.values() if user["team_id"] == self.team_id]

    def deleted(self) -> frozenset[str]:
        return frozenset(self._deleted)

    def unlinked(self) -> frozenset[str]:
        """Slack ids that must belong to nobody, other companies' included."""
        linked = {person.slack_user_id for person in self.people()}
        return frozenset(id_ for id_ in self._slack if id_ not in linked)

    def _read_clerk(self, type_: str, message: Json) -> None:
        data, sent = message["data"], message["timestamp"]
        if type_ == "user.deleted":
            self._deleted.add(data["id"])
        elif type_ in {"user.created", "user.updated"}:
            self._hear_clerk(data, sent * 1000 if sent < _SECONDS_END else sent)
        elif type_ == "session.created":
            self._sessions[data["id"]] = data["user_id"]

    def _hear_clerk(self, user: Json, sent_ms: int) -> None:
        _keep_newest(self._clerk, user, (user["updated_at"], sent_ms))

    def _hear_slack(self, user: Json, sent_s: int) -> None:
        _keep_newest(self._slack, user, (user["updated"], sent_s))
        address = user["profile"].get("email")
        if address and user["team_id"] == self.team_id and user.get("is_email_confirmed"):
            self._confirmed.add((user["id"], address.lower()))

    def _person(self, user: Json, members: dict[str, Json], session_count: int) -> ExpectedPerson:
        address, verified = _primary(user)
        member = members.get(address) if address and verified else None
        public, unsafe = user["public_metadata"], user["unsafe_metadata"]
        return ExpectedPerson(
            clerk_id=user["id"],
            email=address,
            name=" ".join(part for part in (user["first_name"], user["last_name"]) if part),
            first_name=user["first_name"],
            last_name=user["last_name"],
            slack_user_id=member["id"] if member else None,
            notion_person_id=self._notion.get(address or ""),
            status=_status(user, member),
            role="admin" if public.get("role") == "admin" else "member",
            created_at_ms=user["created_at"],
            signup_source=public.get("signup_source", "clerk"),
            feature_flags=public.get("feature_flags"),
            preferences=_preferences(unsafe.get("preferences", {}), member or {}),
            onboarding_status=_object(unsafe.get("onboarding_status")),
            session_count=session_count,
        )

    def _members(self) -> dict[str, Json]:
        """By confirmed address. A deactivated member's object no longer says so: what was once said holds."""
        held = ((str(user["profile"].get("email")).lower(), user) for user in self.slack_users())
        return {address: user for address, user in held if (user["id"], address) in self._confirmed}


def _keep_newest(known: dict[str, tuple[_Version, Json]], user: Json, version: _Version) -> None:
    if user["id"] not in known or version > known[user["id"]][0]:
        known[user["id"]] = (version, user)


def _primary(user: Json) -> tuple[str | None, bool]:
    for email in user["email_addresses"]:
        if email["id"] == user["primary_email_address_id"]:
            return str(email["email_address"]).lower(), email["verification"]["status"] == "verified"
    return None, False


def _preferences(chosen: Json, member: Json) -> Json | None:
    observed = {"language": member.get("locale"), "timezone": member.get("tz")}
    known = {name: value for name, value in observed.items() if value}
    return known | {name: chosen[name] for name in _PREFERENCES if name in chosen} or None


def _object(value: Any) -> Json | None:
    """A browser may have written anything."""
    return value if isinstance(value, dict) else None


def _status(user: Json, member: Json | None) -> Status:
    if user["banned"]:
        return "banned"
    if user["locked"]:
        return "locked"
    return "inactive" if member and member.get("deleted") else "active"
