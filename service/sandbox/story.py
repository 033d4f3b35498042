"""A believable day, drawn from a seed: who existed, what arrives in which order, and how it must end."""

import json
import random
from dataclasses import dataclass, replace
from typing import Any

from service.sandbox.people import (
    TEAM_ID,
    Json,
    Persona,
    clerk_event,
    clerk_user,
    notion_bot,
    personas,
    slack_bot,
    slack_deactivated,
    slack_event,
    slack_foreign,
    slack_user,
)
from service.sandbox.personas import DAY_MS, clerk_id, notion_id, slack_id
from service.sandbox.senders import FORGERIES, Delivery, Forgery
from service.sandbox.story_arrivals import FOR_NEWCOMERS
from service.sandbox.story_moves import FOR_MEMBERS
from service.sandbox.story_oracle import ExpectedPerson, Oracle
from service.sandbox.story_stage import HOUR_MS, Move, Stage

FEWEST_PEOPLE = len(FOR_MEMBERS)
FEWEST_NEWCOMERS = len(FOR_NEWCOMERS)
_REDELIVERED = 0.12


@dataclass(frozen=True, slots=True)
class Story:
    """`clerk_users`, `slack_users` and `notion_users` are what the platforms list before the first delivery.

    `expected` has one entry a living Clerk account, newest first. Nobody of `deleted_clerk_ids` may remain,
    and no person may hold one of `unlinked_slack_ids`.
    """

    seed: int
    now_ms: int
    team_id: str
    existing: list[Persona]
    newcomers: list[Persona]
    clerk_users: list[Json]
    slack_users: list[Json]
    notion_users: list[Json]
    deliveries: list[Delivery]
    expected: list[ExpectedPerson]
    deleted_clerk_ids: frozenset[str]
    unlinked_slack_ids: frozenset[str]

    def final_clerk_users(self) -> list[Json]:
        """What Clerk's `GET /users` must answer once the day is over."""
        return _oracle(self.team_id, self.clerk_users, self.slack_users, [], self.deliveries).clerk_users()

    def final_slack_users(self) -> list[Json]:
        """What Slack's `users.list` must answer once the day is over."""
        return _oracle(self.team_id, self.clerk_users, self.slack_users, [], self.deliveries).slack_users()


def story(
    seed: int,
    *,
    now_ms: int,
    people: int = 24,
    newcomers: int = 6,
    team_id: str = TEAM_ID,
    forged: bool = True,
) -> Story:
    """The day before `now_ms`. The same arguments give the same story, byte for byte.

    The whole repertoire occurs from FEWEST_PEOPLE and FEWEST_NEWCOMERS on; with more, it occurs more often.
    """
    rng = random.Random(seed)
    stage = Stage(rng, now_ms, team_id)
    cast = personas(rng, people + newcomers + 4, now_ms=now_ms)
    members, coming, strays = cast[:people], cast[people:-4], cast[-4:]
    for person, move in zip(members, _parts(FOR_MEMBERS, people), strict=True):
        _admit(stage, person, move)
        move.run(stage, person)
    for person, move in zip(coming, _parts(FOR_NEWCOMERS, newcomers), strict=True):
        if move.in_notion:
            stage.list_in_notion(person)
        move.run(stage, person)
    _strays(stage, strays)
    _noise(stage)
    _redeliver(stage)
    if forged:
        _forge(stage, members)
    return _told(seed, stage, members)


def _parts(repertoire: tuple[Move, ...], count: int) -> list[Move]:
    return [repertoire[number % len(repertoire)] for number in range(count)]


def _admit(stage: Stage, person: Persona, move: Move) -> None:
    stage.admit(
        person,
        in_slack=move.in_slack,
        in_notion=move.in_notion,
        public_metadata=move.public,
        unsafe_metadata=move.unsafe,
    )


def _strays(stage: Stage, cast: list[Persona]) -> None:
    """Slack members Clerk has never heard of: a contractor, a former one, a bot, another company's person."""
    contractor, former, bot, partner = (
        replace(person, title="Contractor", email=f"{person.handle}@contractors.example.com") for person in cast
    )
    stage.notion_users.append(notion_bot(notion_id(stage.rng), "Rollcall"))
    long_ago = (stage.now_ms - 40 * DAY_MS) // 1000
    stage.slack_users.append(
        slack_deactivated(slack_user(former, updated_s=long_ago, team_id=stage.team_id), long_ago + 60)
    )
    at = stage.moment()
    stage.slack(
        "team_join",
        slack_user(contractor, updated_s=at // 1000, team_id=stage.team_id),
        at,
        note="nobody knows them",
    )
    at = stage.later(at)
    stage.slack("team_join", slack_bot(bot, updated_s=at // 1000, team_id=stage.team_id), at, note="bot")
    at = stage.later(at)
    stage.slack("user_change", slack_foreign(partner, updated_s=at // 1000), at, note="foreign team")


def _noise(stage: Stage) -> None:
    """An event type nobody subscribed to on purpose."""
    at = stage.moment()
    organization = {"id": clerk_id(stage.rng, "org"), "object": "organization", "name": "Example Works"}
    stage.clerk("organization.updated", organization, at, note="unhandled type")


def _redeliver(stage: Stage) -> None:
    """Some deliveries come again, at once or hours later, under the id they had."""
    for platform in ("clerk", "slack"):
        sent = [arrival for arrival in stage.arrivals if arrival[2].platform == platform]
        count = max(3, round(len(sent) * _REDELIVERED))
        for arrived, _, delivery in stage.rng.sample(sent, min(count, len(sent))):
            pause = stage.rng.choice((0, 5_000, 300_000, 3 * HOUR_MS))
            stage.arrive(replace(delivery, note="redelivery"), arrived, arrived + pause)


def _forge(stage: Stage, members: list[Persona]) -> None:
    """Every kind, at both doors; each would do harm if it were believed."""
    for kind in FORGERIES:
        at = stage.moment()
        stage.arrive(_forged_clerk(stage, stage.rng.choice(members), kind), at)
        stage.arrive(_forged_slack(stage, stage.rng.choice(members), kind), at)


def _forged_clerk(stage: Stage, victim: Persona, kind: Forgery) -> Delivery:
    mallory = replace(victim, first="Mallory", last="Forged", email="mallory@example.net")
    user = clerk_user(mallory, updated_at_ms=stage.now_ms, public_metadata={"role": "admin"})
    body = _dump(clerk_event("user.updated", user, stage.now_ms))
    return Delivery("clerk", clerk_id(stage.rng, "msg"), "user.updated", body, kind, "forged")


def _forged_slack(stage: Stage, victim: Persona, kind: Forgery) -> Delivery:
    now_s = stage.now_ms // 1000
    user = slack_deactivated(slack_user(victim, updated_s=now_s, team_id=stage.team_id), now_s)
    event_id = slack_id(stage.rng, "Ev")
    body = _dump(slack_event("user_change", {"user": user}, event_id, stage.team_id, now_s))
    return Delivery("slack", event_id, "user_change", body, kind, "forged")


def _dump(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _told(seed: int, stage: Stage, members: list[Persona]) -> Story:
    deliveries = [delivery for _, _, delivery in sorted(stage.arrivals, key=lambda arrival: arrival[:2])]
    oracle = _oracle(stage.team_id, stage.clerk_users, stage.slack_users, stage.notion_users, deliveries)
    return Story(
        seed=seed,
        now_ms=stage.now_ms,
        team_id=stage.team_id,
        existing=members,
        newcomers=stage.newcomers,
        clerk_users=stage.clerk_users,
        slack_users=stage.slack_users,
        notion_users=stage.notion_users,
        deliveries=deliveries,
        expected=oracle.people(),
        deleted_clerk_ids=oracle.deleted(),
        unlinked_slack_ids=oracle.unlinked(),
    )


def _oracle(
    team_id: str, clerk: list[Json], slack: list[Json], notion: list[Json], deliveries: list[Delivery]
) -> Oracle:
    oracle = Oracle(team_id)
    oracle.read_lists(clerk, slack, notion)
    oracle.read(deliveries)
    return oracle
