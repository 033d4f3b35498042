"""A team with a schedule behind a real Slack surface: signed requests, the real application, the sandbox over HTTP."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch

import time_machine

from db.identities import Identity
from db.oncall import Duty
from handlers.oncall import asking, changing
from handlers.oncall.desk import Desk
from handlers.oncall.requests import Replan
from handlers.people.recording import record, version
from handlers.registry import Context
from handlers.slack import bolt
from handlers.slack.events import identity_of
from handlers.slack.payloads import User
from service import platforms
from service.clock import now_ms
from service.sandbox import slack_hand, slack_windows
from service.sandbox.people import Persona, personas, slack_user
from service.sandbox.senders import Door
from service.sandbox.slack_hand import Hand
from service.sandbox.world import World, running
from tests.filling import filled
from tests.service.web import SLACK_SECRET, Serve, Web
from tests.stage import step
from tests.transactions import transaction

ROTA = {"Ada": "AM", "Bob": "AM", "Cleo": "PM", "Dov": "PM", "Eve": "PM", "Olga": ""}  # Olga is in no rotation
LAST = ("Byron", "Mire", "Dahl", "Egan", "Falk", "Tern")
AT = datetime(2026, 12, 2, 10, tzinfo=UTC)  # a Wednesday, in the hours of AM
URL = "http://rollcall.test"
TABLES = ("oncall_schedule", "oncall_schedule_overrides", "time_off", "shift_swaps", "webhook_events")
MESSAGES = "SELECT payload FROM sync_actions WHERE sink = 'slack' AND payload IS NOT NULL ORDER BY id"


@dataclass
class Office:
    """People by first name."""

    web: Web
    world: World
    personas: dict[str, Persona]
    channel: str
    usergroup: str
    _hands: dict[str, Hand] = field(default_factory=dict)

    def hand(self, name: str) -> Hand:
        door = Door(URL, SLACK_SECRET)
        made = Hand(self.world.slack, self.web.client, door, self.personas[name].slack_id)
        return self._hands.setdefault(name, made)

    @property
    def desk(self) -> Desk:
        return Desk(self.web.service.database, self.web.service.intake.context)

    async def read(self, fn: Callable[..., Any], *args: Any) -> Any:
        return await self.web.service.database.read(fn, *args)

    def row(self, name: str) -> int:
        found = self.web.one("SELECT id FROM users WHERE slack_user_id = ?", self.personas[name].slack_id)
        return int(found["id"])

    def name_of(self, row: int | None) -> str:
        return next(name for name in self.personas if self.row(name) == row)

    def mention(self, name: str) -> str:
        return f"<@{self.personas[name].slack_id}|{self.personas[name].handle}>"

    async def duties(self) -> list[Duty]:
        """Every shift from tomorrow on, in order."""
        today = datetime.now(UTC).date()
        found: list[Duty] = []
        for weeks in range(5):
            found += await self.read(asking.week, self.desk.context, today + timedelta(days=7 * weeks))
        return [duty for duty in found if duty.planned.date > today]

    async def duty_of(self, name: str, rotation: str = "") -> Duty:
        """Their next shift."""
        row = self.row(name)
        return next(
            one for one in await self.duties() if one.final_id == row and rotation in ("", one.planned.rotation)
        )

    async def shift(self, day: date, rotation: str) -> Duty:
        return next(one for one in await self.duties() if (one.planned.date, one.planned.rotation) == (day, rotation))

    async def free(self, duty: Duty, *but: str) -> str:
        """Somebody of the schedule who serves nothing on that day."""
        busy = {one.final_id for one in await self.duties() if one.planned.date == duty.planned.date}
        return next(name for name in ROTA if ROTA[name] and self.row(name) not in busy and name not in but)

    def everything(self) -> list[Any]:
        """What a refusal must leave as it is."""
        return [self.web.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES]  # noqa: S608 - ours

    def messages(self) -> list[tuple[str, str]]:
        """Messages to people, sent or to be sent: to whom, what."""
        payloads = [row["payload"] for row in self.web.rows(MESSAGES)]
        return [(self.name_of(one["person"]), one["text"]) for one in payloads if one.get("person")]

    def marks(self) -> set[str]:
        return {row["key"] for row in self.web.rows("SELECT key FROM sync_actions WHERE sink = 'slack'")}

    async def deliver(self, sink: str = "slack") -> None:
        """What the relay would do by now."""
        while await self.deliver_once(sink):
            pass

    async def deliver_once(self, sink: str = "slack") -> bool:
        """One mark; whether there was one."""
        loop = next(loop for loop in self.web.service.relay.loops if loop.sink.name == sink)
        return bool((await step(loop)).claims)

    def heard(self, name: str) -> list[str]:
        """Direct messages somebody got."""
        channel = "D" + self.personas[name].slack_id[1:]
        return [one["text"] for one in self.world.slack.messages if one["channel"] == channel]


def cast() -> dict[str, Persona]:
    made = {}
    for persona, first, last in zip(personas(random.Random(5), len(ROTA), now_ms=1), ROTA, LAST, strict=True):
        email = f"{first}.{last}@example.com".lower()
        made[first] = replace(persona, first=first, last=last, handle=first.lower(), email=email, tz="Europe/Berlin")
    return made


@contextlib.asynccontextmanager
async def opened(serve: Serve, url: str, **settings: Any) -> AsyncIterator[Office]:
    """The service on `url`, everybody known, a schedule planned; nothing of that waits to be sent."""
    people = cast()
    with time_machine.travel(AT, tick=True):
        async with running(World(seed=3)) as world, _service(serve, url, world, people, settings) as office:
            yield office


@contextlib.asynccontextmanager
async def _service(
    serve: Serve, url: str, world: World, people: dict[str, Persona], settings: dict[str, Any]
) -> AsyncIterator[Office]:
    slack = world.slack
    channel, group = slack.add_channel("alerts"), slack.add_usergroup("U0SOMEBODY")
    chosen = {
        "slack_bot_token": slack.token,
        "slack_alert_channel": channel,
        "slack_base_url": world.slack_url,
        "slack_oncall_channel": channel,
        "slack_oncall_usergroup": group,
    }
    with patch.object(platforms, "SLACK_INTERVAL_MS", 0), unhurried():
        accounts = {name: slack.put(slack_user(persona, updated_s=1)) for name, persona in people.items()}
        filled(url, "the office", lambda url: _furnish(url, people, accounts))
        async with serve(**{**chosen, **settings}) as web:
            await web.write(_calm)
            yield Office(web, world, people, channel, group)


def _furnish(url: str, people: dict[str, Persona], accounts: dict[str, Any]) -> None:
    """Everybody, from the roster and from Slack, and their plan."""
    context, now = Context(sinks=frozenset({"slack"})), now_ms()
    with transaction(url) as tx:
        for name, persona in people.items():
            data = {"rotations": [ROTA[name]] if ROTA[name] else [], "name": persona.name}
            on_roster = Identity(
                "roster", str(persona.email), persona.email, email_verified=True, version=version(1, 0, b""), data=data
            )
            in_slack = identity_of(User.model_validate(accounts[name]), sent_at=1, body=b"")
            for said in (on_roster, in_slack):
                assert record(tx, said, context, now)
        changing.confirm(tx, context, Replan(), None, now)


@contextlib.contextmanager
def unhurried() -> Iterator[None]:
    """Three seconds are short on a loaded machine; what happens past them is for tests of their own."""
    with contextlib.ExitStack() as stack:
        for where, name in ((bolt, "ANSWER_S"), (bolt, "OPEN_TIMEOUT_S"), (slack_windows, "TRIGGER_S")):
            stack.enter_context(patch.object(where, name, 60))
        stack.enter_context(patch.object(slack_hand, "PATIENCE_S", 60))
        yield


def _calm(tx: Any) -> None:
    tx.exec_driver_sql("DELETE FROM sync_actions WHERE sink = 'slack'")
