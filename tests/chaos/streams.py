"""What the senders send: a whole day with its oracle, or one person after another renamed with a rising number."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydantic_core import to_json

from service.clock import now_ms
from service.sandbox.people import Persona, clerk_event, clerk_user, personas, slack_event
from service.sandbox.personas import DAY_MS
from service.sandbox.senders import Delivery
from service.sandbox.story import Story, story
from service.sandbox.story_oracle import ExpectedPerson, Oracle
from service.sandbox.world import World


def a_day(seed: int, world: World, people: int = 24) -> tuple[list[Delivery], list[ExpectedPerson]]:
    """A day with everything in it, and how it must end."""
    told = story(seed, now_ms=now_ms(), people=people, forged=False)
    for user in told.notion_users:
        world.notion.add_user(user)
    return [*introductions(told), *told.deliveries], told.expected


def introductions(told: Story) -> list[Delivery]:
    """Who existed before the story, as the events that would have told of them."""
    found = []
    for number, user in enumerate(told.clerk_users):
        body = to_json(clerk_event("user.created", user, user["updated_at"]))
        found.append(Delivery("clerk", f"msg_before_{number}", "user.created", body))
    for number, user in enumerate(told.slack_users):
        event = slack_event("user_change", {"user": user}, f"EvBEFORE{number}", told.team_id, user["updated"])
        found.append(Delivery("slack", f"EvBEFORE{number}", "user_change", to_json(event)))
    return found


@dataclass(frozen=True)
class Renames:
    """Each person's name carries the number of its change: what a page showed when can be told from what was sent."""

    cast: list[Persona]
    began_ms: int

    def round(self, number: int) -> list[Delivery]:
        """The change number `number` of everybody; 0 is their first appearance."""
        return [self._change(person, number) for person in self.cast]

    def expected(self, deliveries: Iterable[Delivery]) -> list[ExpectedPerson]:
        oracle = Oracle("T0NOBODY")
        oracle.read(deliveries)
        return oracle.people()

    def _change(self, person: Persona, number: int) -> Delivery:
        at = self.began_ms + number * 1_000
        user = clerk_user(replace(person, last=str(number)), updated_at_ms=at)
        kind = "user.updated" if number else "user.created"
        return Delivery("clerk", f"msg_{person.clerk_id}_{number}", kind, to_json(clerk_event(kind, user, at)))


def renames(seed: int, people: int) -> Renames:
    """People of their own, who share no address with those of a day."""
    cast = personas(random.Random(f"renames {seed}"), people, now_ms=now_ms())
    own = [replace(one, email=f"{one.handle}@renames.example.com") for one in cast]
    return Renames(own, now_ms() - DAY_MS)
