"""What goes out by itself: messages to people, a reminder the working day before, who is on call now."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from sqlalchemy import Connection
from structlog.testing import capture_logs

from db import outbox
from handlers.oncall import asking
from handlers.oncall.keys import REMIND
from handlers.oncall.requests import Override, SetHoliday
from handlers.slack.standing import LONGEST_TOPIC, topic
from service.clock import now_ms
from tests.handlers.slack.office import AT, Office

SOON = AT.replace(minute=1)


async def tick(office: Office, at: datetime) -> None:
    """The clock's jobs and then Slack's marks, as they are due at that time."""
    with time_machine.travel(at, tick=True):
        await office.deliver("clock")
        await office.deliver()


async def planned(office: Office, day: date, *but: str) -> dict[str, str]:
    """Who is on call that day, by rotation."""
    rows = office.web.rows("SELECT rotation, user_id FROM oncall_schedule WHERE date = ?", day.isoformat())
    return {row["rotation"]: office.name_of(row["user_id"]) for row in rows if row["rotation"] not in but}


def reminded(office: Office) -> list[tuple[str, str]]:
    return sorted((name, text) for name in office.personas for text in office.heard(name) if "You are on call" in text)


async def post(office: Office, person: int, text: str, key: str = "test") -> None:
    await office.web.write(
        outbox.post, 1, "slack", f"oncall:{key}:{person}", {"person": person, "text": text}, now_ms()
    )


# --- messages to people ---


async def test_a_message_goes_to_the_person_as_plain_text(office: Office) -> None:
    await post(office, office.row("Bob"), "<!channel> & you")
    await office.deliver()
    assert office.heard("Bob") == ["&lt;!channel&gt; &amp; you"]


async def test_somebody_whom_slack_does_not_know_is_a_line_in_the_log(office: Office) -> None:
    """S1.7: a missing platform id is a logged warning, never a failure."""
    await office.web.write(
        lambda tx: tx.exec_driver_sql("UPDATE users SET slack_user_id = NULL WHERE name = 'Bob Mire'")
    )
    row = office.web.one("SELECT id FROM users WHERE name = 'Bob Mire'")["id"]
    with capture_logs() as logs:
        for person in (row, 999):
            await post(office, person, "hello")
        await office.deliver()
    told = [line["person"] for line in logs if line["event"] == "message_undeliverable"]
    assert told == [row, 999]
    assert office.web.rows("SELECT * FROM sync_actions WHERE sink = 'slack' AND status <> 'settled'") == []


async def test_a_person_who_left_stops_nobody_elses_message(office: Office) -> None:
    office.world.slack.deactivate(office.personas["Bob"].slack_id)
    for name in ("Bob", "Cleo"):
        await post(office, office.row(name), "hello")
    await office.deliver()
    assert (office.heard("Bob"), office.heard("Cleo")) == ([], ["hello"])
    assert office.web.rows("SELECT * FROM limits WHERE name = 'slack' AND paused_at IS NOT NULL") == []


async def test_messages_wait_while_slack_is_down_and_go_out_once(office: Office) -> None:
    outage = office.world.faults.add(platform="slack", status=503, times=None)
    await post(office, office.row("Bob"), "hello")
    await office.deliver_once()
    outage.times = 0
    await office.web.write(lambda tx: tx.exec_driver_sql("UPDATE limits SET probe_at = 0"))
    await office.deliver()
    await office.deliver()
    assert office.heard("Bob") == ["hello"]


# --- reminders ---


async def test_the_working_day_before_everybody_is_reminded_once(office: Office) -> None:
    tomorrow = await planned(office, AT.date() + timedelta(days=1))
    for hour in (9, 10, 11, 15):
        await tick(office, AT.replace(hour=hour, minute=1))
    found = reminded(office)
    assert sorted(name for name, _ in found) == sorted(tomorrow.values())
    name = tomorrow["PM"]
    assert (name, "You are on call on Thu 2026-12-03: PM, 18:00-21:00 (UTC).") in found


async def test_before_the_morning_nobody_is_reminded(office: Office) -> None:
    await office.web.write(outbox.mark, 1, ("clock",), REMIND, now_ms())
    await tick(office, datetime(2026, 12, 3, 8, 59, tzinfo=UTC))
    assert not [text for _, text in reminded(office) if "2026-12-04" in text]
    await tick(office, datetime(2026, 12, 3, 9, 0, 1, tzinfo=UTC))
    assert [text for _, text in reminded(office) if "2026-12-04" in text]


async def test_mondays_shifts_are_told_on_friday(office: Office) -> None:
    await tick(office, datetime(2026, 12, 4, 9, 1, tzinfo=UTC))
    monday = await planned(office, date(2026, 12, 7))
    assert sorted(name for name, text in reminded(office) if "Mon 2026-12-07" in text) == sorted(monday.values())


async def test_a_holiday_is_no_working_day_before(office: Office) -> None:
    await office.desk.confirm(SetHoliday(date=date(2026, 12, 4), name="Founders"), None, now_ms())
    await tick(office, datetime(2026, 12, 3, 9, 1, tzinfo=UTC))
    assert [name for name, text in reminded(office) if "Mon 2026-12-07" in text]


async def test_a_shift_nobody_serves_is_an_alert_the_working_day_before(office: Office) -> None:
    def vacate(tx: Connection) -> None:
        tx.exec_driver_sql("UPDATE oncall_schedule SET user_id = NULL WHERE date = '2026-12-03' AND rotation = 'PM'")
        tx.exec_driver_sql("DELETE FROM sync_actions WHERE key = 'oncall:plan'")  # or somebody would be found

    await office.web.write(vacate)
    with capture_logs() as logs:
        for hour in (8, 9, 10, 11):
            await tick(office, AT.replace(hour=hour, minute=1))
    alerts = [one["text"] for one in office.world.slack.messages if one["channel"] == office.channel]
    said = "Nobody is on call on Thu 2026-12-03: PM, 18:00-21:00 (UTC). `rollcall oncall why` says why"
    assert [text.startswith(said) for text in alerts] == [True]
    assert [one["key"] for one in logs if one["event"] == "alert"] == ["oncall-unfilled:2026-12-03:PM"]


async def test_the_one_who_took_over_is_reminded_not_the_other(office: Office) -> None:
    day = AT.date() + timedelta(days=1)
    duty = await office.shift(day, "PM")
    stand_in = await office.free(duty)
    change = Override(date=day, rotation="PM", person=office.row(stand_in), reason="swap")
    await office.desk.confirm(change, None, now_ms())
    await tick(office, AT.replace(minute=30))
    told = [name for name, text in reminded(office) if f"{day}: PM" in text]
    assert told == [stand_in]


# --- who is on call now ---


def topic_of(office: Office) -> str:
    return str(office.world.slack.channels[office.channel]["topic"]["value"])


def group_of(office: Office) -> list[str]:
    found = {persona.slack_id: name for name, persona in office.personas.items()}
    return [found.get(one, one) for one in office.world.slack.usergroups[office.usergroup]]


def writes(office: Office) -> list[str]:
    paths = ("/api/conversations.setTopic", "/api/usergroups.users.update")
    return [request.path for request in office.world.requests if request.path in paths]


async def test_topic_and_group_follow_the_hours(office: Office) -> None:
    today = await planned(office, AT.date())
    names = {rotation: office.personas[name].name for rotation, name in today.items()}
    await tick(office, SOON)
    assert group_of(office) == [today["AM"]]
    assert topic_of(office) == f"On call: AM {names['AM']}; next Core {names['Core']}"
    await tick(office, AT.replace(hour=12, second=1))
    assert group_of(office) == [today["Core"]]
    assert topic_of(office).startswith(f"On call: Core {names['Core']}")
    await tick(office, AT.replace(hour=18, second=1))
    assert group_of(office) == [today["PM"]]


async def test_at_night_the_group_keeps_its_last_and_the_topic_says_who_is_next(office: Office) -> None:
    today = await planned(office, AT.date())
    await tick(office, AT.replace(hour=20))
    await tick(office, AT.replace(hour=21, second=1))
    assert group_of(office) == [today["PM"]]
    assert topic_of(office).startswith("On call: nobody until Thu 2026-12-03 09:00 (UTC); next AM ")


async def test_an_override_counts_at_once(office: Office) -> None:
    await tick(office, SOON)
    (duty,) = (await office.read(asking.who, office.desk.context, now_ms())).on
    stand_in = next(name for name in ("Ada", "Bob") if office.row(name) != duty.final_id)
    change = Override(date=AT.date(), rotation="AM", person=office.row(stand_in), reason="ill")
    await office.desk.confirm(change, None, now_ms())
    await tick(office, AT.replace(minute=2))
    assert group_of(office) == [stand_in]
    assert office.personas[stand_in].name in topic_of(office)


async def test_what_is_so_already_is_not_written(office: Office) -> None:
    for minute in (1, 2, 3):
        await office.web.write(outbox.mark_many, 1, "slack", ("oncall:topic", "oncall:usergroup"), now_ms())
        await tick(office, AT.replace(minute=minute))
    assert sorted(writes(office)) == ["/api/conversations.setTopic", "/api/usergroups.users.update"]


async def test_the_group_is_left_alone_when_slack_knows_nobody_on_call(office: Office) -> None:
    await office.web.write(lambda tx: tx.exec_driver_sql("UPDATE users SET slack_user_id = NULL"))
    with capture_logs() as logs, time_machine.travel(SOON, tick=True):
        await office.deliver("clock")
        await office.deliver()
    assert office.world.slack.usergroups[office.usergroup] == ["U0SOMEBODY"]
    assert "oncall_without_slack" in {line["event"] for line in logs}


async def test_without_a_schedule_nothing_is_written(office: Office) -> None:
    for statement in ("DELETE FROM oncall_schedule", "DELETE FROM sync_actions WHERE key = 'oncall:plan'"):
        await office.web.write(lambda tx, sql=statement: tx.exec_driver_sql(sql))
    office.world.slack.channels[office.channel]["topic"]["value"] = "ours"
    await tick(office, SOON)
    assert (topic_of(office), writes(office)) == ("ours", [])


@pytest.mark.parametrize("error", ["not_in_channel", "missing_scope", "no_such_subteam", "permission_denied"])
async def test_a_channel_or_group_that_cannot_be_written_stops_no_message(office: Office, error: str) -> None:
    for path in ("/api/conversations.info", "/api/usergroups.users.list"):
        office.world.faults.add(platform="slack", path_prefix=path, status=200, code=error, times=None)
    await post(office, office.row("Bob"), "hello")
    await tick(office, SOON)
    assert "hello" in office.heard("Bob")
    assert office.web.rows("SELECT * FROM limits WHERE name = 'slack' AND paused_at IS NOT NULL") == []


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("", "On call: PM Ada; next AM Bob"),
        ("Deploys go out at noon", "On call: PM Ada; next AM Bob | Deploys go out at noon"),
        ("On call: AM Zoe", "On call: PM Ada; next AM Bob"),
        ("On call: AM Zoe | Deploys | Ask first", "On call: PM Ada; next AM Bob | Deploys | Ask first"),
        ("Deploys | On call: AM Zoe", "On call: PM Ada; next AM Bob | Deploys"),
        ("x" * 230, f"On call: PM Ada | {'x' * 230}"),
        ("x" * 240, f"On call: PM Ada | {'x' * 232}"),
        ("&" * 60, f"On call: PM Ada | {'&' * 46}"),
    ],
)
def test_what_people_wrote_in_the_topic_stays(held: str, wanted: str) -> None:
    made = topic(held, "On call: PM Ada; next AM Bob")
    assert made == wanted
    assert len(made.replace("&", "&amp;")) <= LONGEST_TOPIC
    assert topic(made, "On call: PM Ada; next AM Bob") == made
