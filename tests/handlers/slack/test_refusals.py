"""Issue 4, bad input: whoever typed it reads what is wrong and what to type instead; they alone; nothing is written."""

from datetime import date

import pytest
from sqlalchemy import Connection, delete, select, update

from db.tables import users, workspace_members
from handlers.oncall.requests import AddTimeOff, SetHoliday
from service.clock import now_ms
from tests.handlers.slack.office import Office

PAST, FRIDAY, SATURDAY, FAR = "2026-12-01", "2026-12-04", "2026-12-05", "2029-12-20"
HOLIDAY = date(2026, 12, 8)


async def refused(office: Office, name: str, text: str, command: str = "/oncall") -> str:
    before = office.everything(), office.marks()
    heard = await office.hand(name).type(command, text)
    assert heard.status == 200
    assert heard.body["response_type"] == "ephemeral"
    assert office.hand(name).window is None
    assert (office.everything(), office.marks()) == before
    return heard.text


TYPED = {
    "an unknown word": ("dance", "I do not know /oncall dance: write one of back, lift"),
    "an unknown person": ("override @zoe friday PM", "Nobody is known as @zoe: write an e-mail address"),
    "an unknown mention": ("override <@U0NOBODY00|zoe> friday PM", "Nobody is known as"),
    "an unknown address": (
        "override <mailto:zoe@example.com|zoe@example.com> friday PM",
        "Nobody is known as zoe@example.com",
    ),
    "an unknown date": ("override @bob 2026-02-30 PM", "2026-02-30 is no day: write it as 2026-12-02"),
    "a day nobody knows": ("why someday", "someday is no day: write it as 2026-12-02, or today, tomorrow, friday"),
    "an unknown rotation": ("override @bob friday Night", "Night is no rotation: write AM, Core or PM"),
    "a date in the past": (f"override @bob {PAST} PM", "history does not change. Name a day from 2026-12-02 on"),
    "time off in the past": ("off 2026-11-01..2026-11-05", "is past: time off can be added from 2026-12-02 on"),
    "time off that ends before it begins": ("off 2026-12-31..2026-12-24", "write 2026-12-24..2026-12-31"),
    "a weekend": (f"override @bob {SATURDAY} PM", "is a Saturday: nobody is on call. Working days are Mon"),
    "a day not planned yet": (f"override @bob {FAR} PM", "is not planned yet: the schedule goes to"),
    "why a weekend": (f"why {SATURDAY}", "is a Saturday: nobody is on call"),
    "why a past day without shifts": ("why 2026-11-03", "Nothing was planned for 2026-11-03"),
    "an override by a person who is in no rotation": (
        "override olga.tern@example.com friday PM",
        "They are not in this workspace",
    ),
    "an override without a rotation": ("override @bob friday", "Write it as /oncall override @ada today PM because"),
    "more words than are meant": ("override @bob friday PM please", "Write it as /oncall override @ada today PM"),
    "nothing to lift": (f"lift {FRIDAY} PM", "has no override"),
    "a swap without a colleague": ("swap friday PM", "Write it as /oncall swap friday PM with @ada"),
    "no day to be away": ("off", "Write it as /oncall off 2026-12-24..2026-12-31"),
    "back from nothing": ("back friday", "You are not away on 2026-12-04: your time off to come is none"),
    "a reason too long": (f"off friday because {'x' * 501}", "The reason has 501 characters: write at most 500"),
    "planning by somebody who may not": ("plan", "Only an administrator can change that: ask one of them"),
    "a word of any length": ("x" * 5_000, "I do not know /oncall " + "x" * 80 + ": write one of"),
    "markup in what was typed": ("&lt;!channel&gt;", "I do not know /oncall &lt;!channel&gt;"),
}


@pytest.mark.parametrize("name", TYPED)
async def test_what_cannot_be_is_told_and_nothing_is_written(office: Office, name: str) -> None:
    text, said = TYPED[name]
    assert said in await refused(office, "Ada", text)


async def test_somebody_outside_the_workspace_changes_nothing(office: Office) -> None:
    assert "You are not in this workspace" in await refused(office, "Olga", "override @bob friday PM")


async def test_somebody_nobody_knows_is_told_how_to_become_known(office: Office) -> None:
    def unlink(tx: Connection) -> None:
        tx.exec_driver_sql("UPDATE users SET slack_user_id = NULL WHERE name = 'Ada Byron'")

    await office.web.write(unlink)
    for command in ("/oncall", "/rollcall"):
        assert "confirm the e-mail address of your Slack account" in await refused(office, "Ada", "", command)


async def test_leave_that_overlaps_names_the_one_that_is_there(office: Office) -> None:
    eve = office.row("Eve")
    asked = AddTimeOff(by=eve, person=eve, first=date(2026, 12, 24), last=date(2026, 12, 28))
    await office.desk.confirm(asked, None, now_ms())
    said = await refused(office, "Eve", "off 2026-12-28..2026-12-31")
    assert "Eve Falk is away 2026-12-24..2026-12-28 already: name only the days beside it" in said


async def test_a_swap_with_oneself(office: Office) -> None:
    duty = await office.duty_of("Cleo")
    text = f"swap {duty.planned.date} {duty.planned.rotation} with @cleo"
    assert "You cannot swap with yourself: name somebody else" in await refused(office, "Cleo", text)


async def test_a_swap_of_somebody_elses_shift(office: Office) -> None:
    duty = await office.duty_of("Dov")
    text = f"swap {duty.planned.date} {duty.planned.rotation} with @eve"
    assert "is not yours but Dov Egan's: swap one of yours" in await refused(office, "Cleo", text)


async def test_a_holiday_is_named(office: Office) -> None:
    await office.desk.confirm(SetHoliday(date=HOLIDAY, name="Founders"), None, now_ms())
    said = await refused(office, "Ada", f"override @bob {HOLIDAY} PM")
    assert f"{HOLIDAY} is a holiday (Founders): nobody is on call. Name a working day" in said


async def test_somebody_who_is_away_serves_nothing(office: Office) -> None:
    eve = office.row("Eve")
    asked = AddTimeOff(by=eve, person=eve, first=date(2026, 12, 24), last=date(2026, 12, 28))
    await office.desk.confirm(asked, None, now_ms())
    assert "Eve Falk is away 2026-12-24..2026-12-28" in await refused(office, "Ada", "override @eve 2026-12-24 PM")


async def test_leave_that_would_leave_a_shift_unfilled(office: Office) -> None:
    bob = office.row("Bob")
    asked = AddTimeOff(by=bob, person=bob, first=date(2026, 12, 21), last=date(2026, 12, 25))
    await office.desk.confirm(asked, None, now_ms())
    said = await refused(office, "Ada", "off 2026-12-21..2026-12-25")
    assert "Nobody could take AM on 2026-12-21" in said
    for anyway in ("--anyway", "—anyway"):  # some keyboards make one dash of two
        await office.hand("Ada").type("/oncall", f"off 2026-12-21..2026-12-25 {anyway}")
        assert "Nobody would serve AM on 2026-12-21" in office.hand("Ada").reads()


async def test_whoever_serves_already_is_not_asked_again(office: Office) -> None:
    duty = await office.duty_of("Dov", "PM")
    said = await refused(office, "Ada", f"override @dov {duty.planned.date} PM")
    assert f"Dov Egan is on call for PM on {duty.planned.date} already" in said


async def test_two_people_and_three_rotations(office: Office) -> None:
    await office.web.write(only, ("Ada Byron", "Cleo Dahl"))
    said = await refused(office, "Ada", "plan")
    assert "There are 2 people for 3 rotations" in said
    assert "--anyway" in said


async def test_a_rotation_with_nobody(office: Office) -> None:
    await office.web.write(only, ("Cleo Dahl", "Dov Egan", "Eve Falk", "Ada Byron"), "PM")
    assert "Nobody is in rotation AM: put people in" in await refused(office, "Ada", "plan")


def only(tx: Connection, names: tuple[str, ...], rotation: str | None = None) -> None:
    """These are left in the rotations (or all in this one); Ada is an administrator."""
    kept = select(users.c.id).where(users.c.name.in_(names))
    tx.execute(delete(workspace_members).where(workspace_members.c.user_id.not_in(kept)))
    if rotation:
        tx.execute(update(workspace_members).values(rotation=rotation))
    tx.exec_driver_sql("UPDATE users SET role = 'admin' WHERE name = 'Ada Byron'")


async def test_a_name_that_two_people_have_is_asked_back(office: Office) -> None:
    def rename(tx: Connection) -> None:
        tx.exec_driver_sql("UPDATE users SET name = 'Ada Lovelace' WHERE name = 'Bob Mire'")

    await office.web.write(rename)
    said = await refused(office, "Cleo", "override @ada friday PM")
    assert "@ada may be" in said
    assert "Ada Byron (ada.byron@example.com)" in said
    assert "Ada Lovelace (bob.mire@example.com)" in said


@pytest.mark.parametrize("command", ["/oncalls", "/Oncall", "/deploy"])
async def test_a_command_that_is_not_ours(office: Office, command: str) -> None:
    assert f"{command} is no command of mine: type /oncall help" in await refused(office, "Ada", "week", command)


async def test_words_after_rollcall(office: Office) -> None:
    assert "I do not know /rollcall on" in await refused(office, "Ada", "on", "/rollcall")
