"""People come, change and go on their platforms: the schedule is planned again, history keeps no name (S1.10)."""

import asyncio
from typing import Any

import pytest

from db import oncall_members
from db.database import Database
from db.identities import Identity
from db.oncall_members import Absence
from handlers.clerk.events import gone
from handlers.oncall.daily import daily_plan
from handlers.oncall.desk import Desk
from handlers.oncall.keys import CALENDAR, PLAN, SLACK
from handlers.oncall.requests import AddTimeOff, Override, Replan
from handlers.people.recording import record, version, withdraw
from handlers.registry import Context
from tests.conftest import Rows
from tests.filling import filled
from tests.handlers.oncall.team import MONDAY, at, in_days

CONTEXT = Context(sinks=frozenset({CALENDAR, SLACK}))
NOW = at(MONDAY)
KEPT = ("oncall_schedule", "oncall_schedule_overrides", "oncall_members", "time_off", "shift_swaps")
POOLS = {"ada": ["AM"], "ben": ["AM"], "pia": ["PM"], "quin": ["PM"], "rosa": ["PM"]}


def email(name: str) -> str:
    return f"{name}@example.com"


class House:
    """People as the roster, Clerk and Slack tell of them, and the job that plans."""

    def __init__(self, database: Database, rows: Rows) -> None:
        self.database = database
        self.rows = rows
        self.now = NOW
        self._said = 0

    async def roster(self, name: str, *rotations: str) -> None:
        await self._say("roster", email(name), email(name), {"rotations": list(rotations), "name": name.title()})

    async def clerk(self, name: str, **data: Any) -> None:
        said = {"first_name": name.title(), "created_at": 1, "updated_at": 1, "synced_at": 1, **data}
        await self._say("clerk", f"user_{name}", email(name), said)

    async def slack(self, name: str, **data: Any) -> None:
        await self._say("slack", f"U{name}", email(name), {"real_name": name, **data})

    async def _say(self, provider: str, external_id: str, address: str, data: dict[str, Any]) -> None:
        self._said += 1
        stamp = version(self._said, 0, b"")
        said = Identity(provider, external_id, address, email_verified=True, version=stamp, data=data)
        await self.database.write(record, said, CONTEXT, self.now)

    async def delete(self, name: str) -> None:
        await self.database.write(record, gone(f"user_{name}", self.now), CONTEXT, self.now)

    async def plan(self) -> None:
        await daily_plan(CONTEXT).run(self.database, self.now)

    def asked_to_plan(self) -> int:
        found = self.rows("SELECT generation FROM sync_actions WHERE sink = 'clock' AND key = :key", key=PLAN)
        return found[0]["generation"] if found else 0

    def id_of(self, name: str) -> int:
        return int(self.rows("SELECT id FROM users WHERE email = :email", email=email(name))[0]["id"])

    def shifts(self, first: str = "2000-01-01", **where: Any) -> list[dict[str, Any]]:
        found = self.rows("SELECT * FROM oncall_schedule WHERE date >= :first ORDER BY date, rotation", first=first)
        return [row for row in found if all(row[key] == value for key, value in where.items())]


@pytest.fixture
def said(database_url: str, rows: Rows) -> int:
    """How often something was said until everybody was known and the first plan was there."""
    return filled(database_url, "the house", lambda url: asyncio.run(_furnish(url, rows)))


@pytest.fixture
def house(said: int, database: Database, rows: Rows) -> House:
    house = House(database, rows)
    house._said = said
    return house


async def _furnish(url: str, rows: Rows) -> int:
    async with Database(url) as database:
        made = House(database, rows)
        for name, pools in POOLS.items():
            await made.roster(name, *pools)
        await made.plan()
        return made._said


async def test_somebody_put_on_the_roster_has_the_schedule_planned_again(house: House) -> None:
    before = house.asked_to_plan()
    await house.roster("nora", "PM")
    assert house.asked_to_plan() == before + 1
    await house.plan()
    assert house.shifts(email=email("nora"))


async def test_whoever_is_in_no_rotation_has_nothing_planned(house: House) -> None:
    before = house.asked_to_plan()
    await house.clerk("zoe")
    await house.clerk("zoe", first_name="Zora")
    await house.delete("zoe")
    assert house.asked_to_plan() == before


async def test_a_member_who_is_deactivated_has_shifts_to_come_reassigned(house: House) -> None:
    before = house.asked_to_plan()
    await house.slack("pia", deactivated=True)
    assert house.asked_to_plan() > before
    house.now = at(in_days(2))
    await house.plan()
    assert house.shifts(first=in_days(2).isoformat(), email=email("pia")) == []
    assert house.shifts(first=in_days(2).isoformat(), user_id=None) == []


async def test_a_person_deleted_keeps_a_number_in_history_and_no_name(house: House) -> None:
    await house.clerk("pia")
    pia = house.id_of("pia")
    house.now = at(in_days(14))
    mine = len([row for row in house.shifts(user_id=pia) if str(row["date"]) < in_days(14).isoformat()])
    assert mine
    await house.delete("pia")
    await house.plan()
    past = [row for row in house.shifts(user_id=pia) if str(row["date"]) < in_days(14).isoformat()]
    assert len(past) == mine
    assert {(row["email"], row["name"]) for row in past} == {(None, f"former member {pia}")}
    assert house.shifts(first=in_days(14).isoformat(), user_id=pia) == []
    everything = str(
        house.rows("SELECT * FROM oncall_schedule") + house.rows("SELECT * FROM oncall_schedule_overrides")
    )
    assert email("pia") not in everything


async def test_a_roster_person_whom_clerk_gets_to_know_keeps_the_shifts(house: House) -> None:
    ada = house.id_of("ada")
    before = house.shifts(user_id=ada)
    assert before
    await house.clerk("ada")
    await house.plan()
    assert house.id_of("ada") == ada
    assert [(row["date"], row["rotation"]) for row in house.shifts(user_id=ada)] == [
        (row["date"], row["rotation"]) for row in before
    ]


async def test_two_rows_that_turn_out_to_be_one_person_share_their_history(house: House) -> None:
    await house.clerk("ada2")
    ada, other = house.id_of("ada"), house.id_of("ada2")
    served = len(house.shifts(user_id=ada))
    await house.database.write(oncall_members.add_absence, 1, ada, (in_days(70), in_days(71)), "away", house.now)
    said = {"first_name": "Ada", "created_at": 1, "updated_at": 1, "synced_at": 1}
    await house._say("clerk", "user_ada2", email("ada"), said)
    assert house.rows("SELECT id FROM users WHERE id = :id", id=ada) == []
    assert house.id_of("ada") == other
    assert len(house.shifts(user_id=other)) == served
    assert house.rows("SELECT user_id FROM time_off") == [{"user_id": other}]
    house.now = at(in_days(7))
    await house.plan()
    assert len(house.rows("SELECT * FROM oncall_members WHERE user_id = :id AND until IS NULL", id=other)) == 1


async def test_the_roster_can_take_somebody_out(house: House) -> None:
    await house.database.write(withdraw, ("roster", email("rosa")), CONTEXT, house.now)
    house.now = at(in_days(1))
    await house.plan()
    assert house.shifts(first=in_days(1).isoformat(), email=email("rosa")) == []


async def test_why_somebody_was_away_goes_with_them_and_the_days_stay(house: House) -> None:
    await house.clerk("pia")
    pia = house.id_of("pia")
    desk = Desk(house.database, CONTEXT)
    await desk.confirm(AddTimeOff(person=pia, first=in_days(1), last=in_days(2), reason="surgery"), None, house.now)
    await house.delete("pia")
    absences = await house.database.read(oncall_members.absences, 1)
    assert [(one.user_id, one.reason) for one in absences] == [(pia, "")]
    assert isinstance(absences[0], Absence)


async def test_messages_that_were_delivered_do_not_keep_the_name_of_somebody_who_goes(house: House) -> None:
    await house.clerk("pia")
    desk = Desk(house.database, CONTEXT)
    away = AddTimeOff(person=house.id_of("pia"), first=in_days(1), last=in_days(60))
    await desk.confirm(away, None, house.now)
    messages = house.rows("SELECT key FROM sync_actions WHERE sink = 'slack' AND payload IS NOT NULL")
    assert messages
    await house.database.write(lambda tx: tx.exec_driver_sql("UPDATE sync_actions SET status = 'settled'"))
    await house.delete("pia")
    left = house.rows("SELECT key, payload FROM sync_actions WHERE sink = 'slack' AND status = 'settled'")
    assert {row["key"] for row in left} == {row["key"] for row in messages}
    assert "Pia" not in str(left)


async def test_a_desk_refuses_what_would_not_be_as_shown_and_changes_nothing(house: House) -> None:
    desk = Desk(house.database, CONTEXT)
    planned = house.shifts(first=in_days(1).isoformat(), rotation="PM")[0]["user_id"]
    others = [house.id_of(name) for name in ("pia", "quin", "rosa") if house.id_of(name) != planned]
    request = Override(date=in_days(1), rotation="PM", person=others[0], reason="ill")
    shown = await desk.preview(request, house.now)
    assert house.rows("SELECT * FROM oncall_schedule_overrides") == []
    assert await desk.confirm(request, shown.digest, house.now) == shown
    assert [row["user_id"] for row in house.rows("SELECT user_id FROM oncall_schedule_overrides")] == [others[0]]


async def test_a_desk_decides_again_when_the_schedule_changed_while_it_thought(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(house.database, CONTEXT)
    await house.roster("nora", "PM")
    tries: list[int] = []
    whole = Desk._decide

    async def meanwhile(self: Desk, request: Any, now: int) -> Any:
        decision = await whole(self, request, now)
        if not tries:
            absence = (in_days(30), in_days(31))
            await house.database.write(oncall_members.add_absence, 1, house.id_of("ada"), absence, "", now)
        tries.append(now)
        return decision

    monkeypatch.setattr(Desk, "_decide", meanwhile)
    await desk.confirm(Replan(anyway=True), None, house.now)
    assert len(tries) == 2
    assert not [row for row in house.shifts(email=email("ada")) if str(row["date"]) == in_days(30).isoformat()]
