"""What tests of being on call share: a workspace with people, time that is said, and a look at what became of it."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import JSON, Connection, text

from db import oncall, people
from db.oncall import Duty
from db.people import Person
from handlers.oncall import asking
from handlers.oncall.changing import confirm, preview
from handlers.oncall.consequence import Consequence
from handlers.oncall.keys import CALENDAR, SLACK
from handlers.oncall.model import Slot
from handlers.oncall.refusal import Refusal
from handlers.oncall.requests import ChangeSettings, Override, Replan, Request
from handlers.registry import Context

CONTEXT = Context(sinks=frozenset({CALENDAR, SLACK}))
MONDAY = date(2026, 11, 2)
TABLES = (
    "workspace_settings",
    "oncall_members",
    "oncall_schedule",
    "oncall_schedule_overrides",
    "time_off",
    "holidays",
    "shift_swaps",
    "sync_actions",
)
Row = dict[str, Any]


def at(day: date, clock: str = "08:00", zone: str = "UTC") -> int:
    """An instant, ms."""
    return round(datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def in_days(days: int) -> date:
    return MONDAY + timedelta(days=days)


@dataclass
class Team:
    """One workspace in one transaction; it is Monday, 2026-11-02, 08:00 UTC until a test says otherwise."""

    tx: Connection
    now: int = at(MONDAY)
    ids: dict[str, int] = field(default_factory=dict)

    def join(self, name: str, *rotations: str, status: str = "active") -> int:
        email = f"{name.lower()}@example.com"
        person = Person(None, email, name, None, None, None, None, "member", status)
        self.ids[name] = people.add(self.tx, person, 0)
        people.set_rotations(self.tx, 1, self.ids[name], rotations)
        return self.ids[name]

    def status(self, name: str, status: str) -> None:
        person = people.get(self.tx, self.ids[name])
        assert person
        people.change(self.tx, self.ids[name], person, replace(person, status=status), self.now)

    def plan(self, **how: Any) -> Consequence:
        return self.ask(Replan(**{"anyway": True, **how}))

    def ask(self, request: Request) -> Consequence:
        """As people do it: look, then confirm what was shown."""
        shown = preview(self.tx, CONTEXT, request, self.now)
        assert confirm(self.tx, CONTEXT, request, shown.digest, self.now) == shown
        return shown

    def refused(self, request: Request) -> str:
        """The sentence with which it is refused; and nothing was written."""
        before = self.everything()
        with pytest.raises(Refusal) as caught:
            preview(self.tx, CONTEXT, request, self.now)
        with pytest.raises(Refusal):
            confirm(self.tx, CONTEXT, request, None, self.now)
        assert self.everything() == before
        return str(caught.value)

    def set(self, **changes: Any) -> None:
        self.ask(ChangeSettings(changes=changes))

    def override(self, day: date, rotation: str, name: str, **more: Any) -> Consequence:
        return self.ask(Override(date=day, rotation=rotation, person=self.ids[name], **more))

    def duty(self, day: date, rotation: str) -> Duty:
        found = asking.shift(self.tx, CONTEXT, Slot(day, rotation))
        assert found, f"no {rotation} on {day}"
        return found

    def server(self, day: date, rotation: str) -> str | None:
        return self.duty(day, rotation).final_name

    def days_of(self, name: str) -> list[tuple[date, str]]:
        found = oncall.of_person(self.tx, 1, self.ids[name], MONDAY, 1000)
        return [(duty.planned.date, duty.planned.rotation) for duty in found]

    def rows(self, sql: str, **values: Any) -> list[Row]:
        return [dict(row) for row in self.tx.execute(text(sql), values).mappings()]

    def everything(self) -> dict[str, list[Any]]:
        found = {table: self.tx.execute(text(f"SELECT * FROM {table}")) for table in TABLES}  # noqa: S608 - ours
        return {table: sorted(map(repr, rows)) for table, rows in found.items()}

    def marks(self, sink: str) -> list[str]:
        return [row["key"] for row in self.rows("SELECT key FROM sync_actions WHERE sink = :s ORDER BY key", s=sink)]

    def told(self) -> dict[str, list[str]]:
        """The messages to people, by name."""
        names = {id_: name for name, id_ in self.ids.items()}
        found: dict[str, list[str]] = {}
        query = text("SELECT payload FROM sync_actions WHERE sink = 'slack' ORDER BY id").columns(payload=JSON)
        for (payload,) in self.tx.execute(query):
            if "person" in payload:
                found.setdefault(names[payload["person"]], []).append(payload["text"])
        return found

    def alerts(self) -> list[str]:
        return [key for key in self.marks("slack") if key.startswith("alert:")]

    def forget_marks(self) -> None:
        self.tx.execute(text("DELETE FROM sync_actions"))


def usual(team: Team) -> Team:
    """Two in the AM pool, three in the PM pool, and a plan."""
    for name, pool in (("Ada", "AM"), ("Ben", "AM"), ("Pia", "PM"), ("Quin", "PM"), ("Rosa", "PM")):
        team.join(name, pool)
    team.plan()
    team.forget_marks()
    return team


def iso(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, UTC).isoformat()
