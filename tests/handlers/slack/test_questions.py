"""What people ask with a command is answered to them alone, in their own time zone, and changes nothing."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import insert
from sqlalchemy import text as sql

from db.tables import user_data
from tests.handlers.slack.office import AT, Office


async def asked(office: Office, name: str, command: str, text: str = "") -> str:
    """The answer's text; it is ephemeral, and nothing was written."""
    before = office.everything()
    heard = await office.hand(name).type(command, text)
    assert heard.status == 200
    assert heard.body["response_type"] == "ephemeral"
    assert office.everything() == before
    assert office.hand(name).window is None
    return heard.text


async def test_oncall_names_who_is_on_call_and_who_is_next_on_the_callers_clock(office: Office) -> None:
    text = await asked(office, "Olga", "/oncall")
    now = office.web.one("SELECT name FROM oncall_schedule WHERE date = '2026-12-02' AND rotation = 'AM'")
    then = office.web.one("SELECT name FROM oncall_schedule WHERE date = '2026-12-02' AND rotation = 'Core'")
    assert f"AM: {now['name']}, Wed 2026-12-02 10:00-13:00" in text  # 09:00 UTC is 10:00 in Berlin
    assert f"Core: {then['name']}, Wed 2026-12-02 13:00-19:00" in text
    assert "Times in Europe/Berlin" in text


async def test_at_night_nobody_is_on_call_and_the_next_is_named(office: Office) -> None:
    with time_machine.travel(AT.replace(hour=23), tick=True):
        text = await asked(office, "Ada", "/oncall")
    assert "Nobody is on call now" in text
    assert "Thu 2026-12-03 10:00-13:00" in text


async def test_an_override_is_named_with_whom_it_replaces(office: Office) -> None:
    duty = await office.duty_of("Cleo", "PM")
    stand_in = await office.free(duty)
    await confirm_override(office, stand_in, duty.planned.date.isoformat())
    with time_machine.travel(duty.planned.starts_at / 1000 + 60, tick=True):
        text = await asked(office, "Ada", "/oncall")
    assert f"{stand_in} " in text
    assert "(instead of Cleo Dahl: tired)" in text


async def confirm_override(office: Office, whom: str, day: str) -> None:
    hand = office.hand("Ada")
    await hand.type("/oncall", f"override {office.mention(whom)} {day} PM because tired")
    assert (await hand.submit()).text.startswith("Done")


@pytest.mark.parametrize("text", ["week", "week 2026-12-09", "week today", "WEEK wednesday"])
async def test_week_shows_every_shift_of_it(office: Office, text: str) -> None:
    shown = await asked(office, "Ada", "/oncall", text)
    monday = "2026-12-07" if "09" in text else "2026-11-30"
    days = office.web.rows(
        "SELECT name, rotation FROM oncall_schedule WHERE date >= ? AND date <= ?",
        monday,
        (date.fromisoformat(monday) + timedelta(days=6)).isoformat(),
    )
    assert len(days) >= 9
    for row in days:
        assert f"{row['rotation']}: {row['name']}" in shown
    assert shown.count("•") == len(days)


async def test_a_week_without_shifts_says_so(office: Office) -> None:
    assert await asked(office, "Ada", "/oncall", "week 2030-01-01") == "Nothing is planned in the week of 2030-01-01."


async def test_me_shows_my_shifts_and_my_balance(office: Office) -> None:
    duty = await office.duty_of("Eve")
    text = await asked(office, "Eve", "/oncall", "me")
    assert f"{duty.planned.date} " in text
    assert "Hours served less hours due: +0.0." in text


async def test_why_names_the_candidates_and_who_was_left_out(office: Office) -> None:
    duty = await office.duty_of("Dov", "PM")
    text = await asked(office, "Bob", "/oncall", f"why {duty.planned.date} pm")
    assert "Dov Egan" in text
    assert "Ada Byron: " in text
    whole_day = await asked(office, "Bob", "/oncall", f"why {duty.planned.date}")
    assert all(f"{rotation}, {duty.planned.date:%a}" in whole_day for rotation in ("AM", "Core", "PM"))


async def test_rollcall_says_who_i_am(office: Office) -> None:
    text = await asked(office, "Ada", "/rollcall")
    persona = office.personas["Ada"]
    assert "Ada Byron" in text
    assert str(persona.email) in text
    assert f"Slack: {persona.slack_id}" in text
    assert "Clerk: not linked" in text
    assert "Last heard of from Clerk: never" in text
    assert "Europe/Berlin" in text


async def test_rollcall_tells_when_each_side_last_heard(office: Office) -> None:
    row = office.row("Ada")

    def synced(tx: Any) -> None:
        tx.execute(insert(user_data).values(user_id=row, key="last_clerk_sync", value="2026-12-01T08:00:00.000Z"))
        values = {"key": f"person:{row}", "at": int(datetime(2026, 12, 1, 9, tzinfo=UTC).timestamp() * 1000)}
        tx.execute(
            sql(
                "INSERT INTO sync_logs"
                " (workspace_id, sink, key, generation, attempt, at, duration_ms, operation, outcome)"
                " VALUES (1, 'notion', :key, 1, 1, :at, 5, 'update', 'delivered')"
            ),
            values,
        )

    await office.web.write(synced)
    text = await asked(office, "Ada", "/rollcall")
    assert "2026-12-01T08:00:00.000Z" in text
    assert "Last told to Notion: 2026-12-01 10:00, delivered" in text


@pytest.mark.parametrize(("command", "text"), [("/oncall", "help"), ("/oncall", "HELP"), ("/rollcall", "help")])
async def test_help_shows_a_line_for_every_word(office: Office, command: str, text: str) -> None:
    shown = await asked(office, "Ada", command, text)
    for word in ("week", "me", "why", "override", "lift", "swap", "off", "back"):
        assert f"/oncall {word}" in shown


async def test_names_are_shown_as_text_not_as_markup(office: Office) -> None:
    def rename(tx: Any) -> None:
        tx.exec_driver_sql("UPDATE oncall_schedule SET name = '<!channel> & <@U1>'")

    await office.web.write(rename)
    text = await asked(office, "Ada", "/oncall", "week")
    assert "&lt;!channel&gt; &amp; &lt;@U1&gt;" in text
    assert "<!channel>" not in text
