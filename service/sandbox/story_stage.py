"""The stage a story plays on: what the platforms hold at the start, and what arrives when."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from service.sandbox.people import (
    Json,
    Persona,
    clerk_event,
    clerk_user,
    notion_user,
    slack_event,
    slack_user,
)
from service.sandbox.personas import DAY_MS, clerk_id, slack_id
from service.sandbox.senders import Delivery

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


@dataclass(slots=True)
class Stage:
    """Collects; decides nothing. `arrivals` are (time, sequence, delivery): sorted, they are the stream."""

    rng: random.Random
    now_ms: int
    team_id: str
    clerk_users: list[Json] = field(default_factory=list)
    slack_users: list[Json] = field(default_factory=list)
    notion_users: list[Json] = field(default_factory=list)
    newcomers: list[Persona] = field(default_factory=list)
    arrivals: list[tuple[int, int, Delivery]] = field(default_factory=list)

    def moment(self) -> int:
        """A time of the last day, early enough that what follows from it also lies in the past."""
        return self.now_ms - self.rng.randrange(6 * HOUR_MS, 23 * HOUR_MS)

    def later(self, at_ms: int) -> int:
        return at_ms + self.rng.randrange(2 * MINUTE_MS, 20 * MINUTE_MS)

    def admit(
        self,
        person: Persona,
        *,
        in_slack: bool,
        in_notion: bool,
        public_metadata: Mapping[str, Any],
        unsafe_metadata: Mapping[str, Any],
    ) -> None:
        """Let a person have existed before the stream, last touched days ago."""
        touched = self.now_ms - self.rng.randrange(2 * DAY_MS, 20 * DAY_MS)
        self.clerk_users.append(
            clerk_user(
                person,
                updated_at_ms=touched,
                public_metadata=public_metadata,
                unsafe_metadata=unsafe_metadata,
                last_sign_in_at_ms=touched,
            )
        )
        if in_slack:
            self.slack_users.append(slack_user(person, updated_s=touched // 1000, team_id=self.team_id))
        if in_notion:
            self.list_in_notion(person)

    def list_in_notion(self, person: Persona) -> None:
        """Add a Notion member; every third one typed the address with capitals."""
        member = notion_user(person)
        if person.email and len(self.notion_users) % 3 == 0:
            member["person"] = {"email": person.email.title()}
        self.notion_users.append(member)

    def member(self, person: Persona, at_ms: int, *, status: str = "") -> Json:
        """The person as Slack has them from `at_ms` on."""
        return slack_user(person, updated_s=at_ms // 1000, team_id=self.team_id, status_text=status)

    def welcome(self, person: Persona, at_ms: int) -> Persona:
        """Let an account be created within the day."""
        newcomer = replace(person, created_at_ms=at_ms)
        self.newcomers.append(newcomer)
        return newcomer

    def account(self, person: Persona) -> Json:
        """The Clerk user as it stood before the stream."""
        return next(user for user in self.clerk_users if user["id"] == person.clerk_id)

    def clerk(
        self,
        type_: str,
        data: Mapping[str, Any],
        at_ms: int,
        *,
        arrives_ms: int | None = None,
        note: str = "",
        seconds: bool = False,
    ) -> None:
        """Something happened in Clerk at `at_ms`; the webhook arrives seconds later unless said otherwise."""
        envelope = clerk_event(type_, data, at_ms, seconds=seconds)
        body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
        self.arrive(Delivery("clerk", clerk_id(self.rng, "msg"), type_, body, note=note), at_ms, arrives_ms)

    def slack(
        self,
        type_: str,
        user: Mapping[str, Any],
        at_ms: int,
        *,
        arrives_ms: int | None = None,
        note: str = "",
    ) -> None:
        """A member changed in Slack at `at_ms`. Slack escapes whatever is not ASCII, and slashes."""
        event_id = slack_id(self.rng, "Ev")
        envelope = slack_event(type_, {"user": dict(user)}, event_id, self.team_id, at_ms // 1000)
        body = json.dumps(envelope, separators=(",", ":")).replace("/", "\\/").encode()
        self.arrive(Delivery("slack", event_id, type_, body, note=note), at_ms, arrives_ms)

    def arrive(self, delivery: Delivery, at_ms: int, arrives_ms: int | None = None) -> None:
        if arrives_ms is None:
            arrives_ms = at_ms + self.rng.randrange(300, 5_000)
        self.arrivals.append((arrives_ms, len(self.arrivals), delivery))


@dataclass(frozen=True, slots=True)
class Move:
    """Something that can happen to a person, and what the platforms know of them before it."""

    run: Callable[[Stage, Persona], None]
    in_slack: bool = True
    in_notion: bool = True
    public: Mapping[str, Any] = field(default_factory=dict)
    unsafe: Mapping[str, Any] = field(default_factory=dict)


def renamed(person: Persona) -> Persona:
    return replace(person, last=f"{person.last}-Solberg".lstrip("-"))


def moved(person: Persona) -> Persona:
    """The same person at the company's other domain."""
    return replace(person, email=f"{person.handle}@example.org")
