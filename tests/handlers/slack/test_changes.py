"""A change opens a window that shows what would happen; confirmed, exactly that is done, once, or it says why not."""

import asyncio
import json
from datetime import date
from unittest.mock import patch

import pytest

from handlers.oncall.requests import Override
from handlers.slack import bolt
from handlers.slack.confirming import AGAIN
from service.clock import now_ms
from service.sandbox.slack_hand import INTERACTIVITY, Hand, form_of
from tests.handlers.slack.office import Office

QUOTES = '"\\' * 250


def override_of(office: Office, day: date, rotation: str) -> list[dict[str, object]]:
    return office.web.rows(
        "SELECT user_id, reason, asked_by FROM oncall_schedule_overrides WHERE date = ? AND rotation = ?",
        day.isoformat(),
        rotation,
    )


async def proposed(office: Office, by: str = "Ada", reason: str = " because the dentist") -> tuple[Hand, date, str]:
    """Cleo's next PM, offered to somebody else; the window is open before `by`."""
    duty = await office.duty_of("Cleo", "PM")
    stand_in = await office.free(duty)
    hand = office.hand(by)
    heard = await hand.type("/oncall", f"override {office.mention(stand_in)} {duty.planned.date} pm{reason}")
    assert (heard.status, heard.body) == (200, None)
    return hand, duty.planned.date, stand_in


async def test_an_override_shows_who_moves_and_how_the_differences_change(office: Office) -> None:
    before = office.everything()
    hand, day, stand_in = await proposed(office)
    text = hand.reads()
    full = office.personas[stand_in].name
    assert f"{full} serves PM on {day} instead of Cleo Dahl" in text
    assert f"{day:%a} {day} PM: Cleo Dahl 18:00–21:00 → {full} 18:00–21:00 (the dentist)" in text  # noqa: RUF001
    assert "• Cleo Dahl: " in text
    assert f"• {full}: " in text
    assert office.everything() == before


async def test_confirmed_exactly_that_is_done(office: Office) -> None:
    hand, day, stand_in = await proposed(office)
    heard = await hand.submit()
    assert heard.text.startswith("Done")
    assert override_of(office, day, "PM") == [
        {"user_id": office.row(stand_in), "reason": "the dentist", "asked_by": office.row("Ada")}
    ]
    (event,) = office.web.events()
    assert (event["source"], event["type"], event["status"]) == ("slack", "oncall_override", "applied")
    assert "reason" not in bytes(event["body"]).decode()
    assert b"token" not in event["body"]


async def test_a_direct_message_goes_to_exactly_those_whose_shifts_moved(office: Office) -> None:
    hand, _, stand_in = await proposed(office)
    await hand.submit()
    assert sorted(name for name, _ in office.messages()) == sorted(["Cleo", stand_in])
    await office.deliver()
    assert {name for name in office.personas if office.heard(name)} == {"Cleo", stand_in}
    assert "Your on-call shifts changed" in office.heard("Cleo")[0]


async def test_a_window_that_is_closed_changes_nothing(office: Office) -> None:
    before = office.everything()
    hand, _, _ = await proposed(office)
    closed = {"type": "view_closed", "user": {"id": hand.user_id}, "view": hand.window, "is_cleared": False}
    status, body = await hand.post(INTERACTIVITY, form_of({"payload": json.dumps(closed)}))
    assert (status, body) == (200, None)
    assert office.everything() == before


async def test_a_second_press_of_the_button_does_nothing_more(office: Office) -> None:
    hand, _, _ = await proposed(office)
    sent = hand.submission()
    first = await hand.post(INTERACTIVITY, sent)
    after = office.everything(), office.messages()
    second = await hand.post(INTERACTIVITY, sent)
    assert hand.becomes(*first).text.startswith("Done")
    assert second[0] == 200
    assert AGAIN in str(second[1])
    assert (office.everything(), office.messages()) == after


async def test_presses_at_the_same_time_are_done_once(office: Office) -> None:
    hand, day, _ = await proposed(office)
    sent = hand.submission()
    answers = await asyncio.gather(*(hand.post(INTERACTIVITY, sent) for _ in range(5)))
    said = [str(body) for _, body in answers]
    assert {status for status, _ in answers} == {200}
    assert sum(AGAIN in text for text in said) == 4
    assert len(override_of(office, day, "PM")) == len(office.web.events()) == 1
    assert len(office.messages()) == 2


async def test_a_plan_that_changed_meanwhile_is_shown_anew_and_asked_again(office: Office) -> None:
    duty = await office.duty_of("Cleo", "PM")
    first, second = await office.free(duty), await office.free(duty, await office.free(duty))
    hand = office.hand("Ada")
    await hand.type("/oncall", f"override {office.mention(first)} {duty.planned.date} PM")
    other = Override(by=None, date=duty.planned.date, rotation="PM", person=office.row(second), reason="first come")
    await office.desk.confirm(other, None, now_ms())
    after = office.everything()
    heard = await hand.submit()
    names = office.personas[first].name, office.personas[second].name
    assert "The schedule changed since this was shown; nothing was done" in heard.text
    assert f"{names[0]} serves PM on {duty.planned.date} instead of {names[1]}" in heard.text
    assert office.everything() == after
    assert (await hand.submit()).text.startswith("Done")
    assert override_of(office, duty.planned.date, "PM")[0]["user_id"] == office.row(first)


async def test_a_change_that_became_impossible_says_why_and_has_no_button_any_more(office: Office) -> None:
    hand, day, stand_in = await proposed(office)
    same = Override(by=None, date=day, rotation="PM", person=office.row(stand_in), reason="was faster")
    await office.desk.confirm(same, None, now_ms())
    after = office.everything()
    heard = await hand.submit()
    assert f"is on call for PM on {day} already" in heard.text
    assert "submit" not in (hand.window or {})
    assert office.everything() == after


async def test_lifting_an_override(office: Office) -> None:
    hand, day, stand_in = await proposed(office)
    await hand.submit()
    await hand.type("/oncall", f"lift {day} PM")
    assert f"Cleo Dahl serves PM on {day} as planned, no more {office.personas[stand_in].name}" in hand.reads()
    assert (await hand.submit()).text.startswith("Done")
    assert override_of(office, day, "PM") == []


async def test_time_off_moves_shifts_and_can_be_ended(office: Office) -> None:
    duty = await office.duty_of("Eve")
    day, hand = duty.planned.date, office.hand("Eve")
    await hand.type("/oncall", f"off {day}..{day} because of &lt;a party&gt;")
    assert f"Eve Falk is away {day}..{day}" in hand.reads()
    assert f"{duty.planned.rotation}: Eve Falk" in hand.reads()
    await hand.submit()
    (row,) = office.web.rows("SELECT * FROM time_off")
    assert (row["user_id"], str(row["first_date"])) == (office.row("Eve"), day.isoformat())
    assert row["reason"] == "of <a party>"
    assert (await office.shift(day, duty.planned.rotation)).final_id != office.row("Eve")
    assert "Eve" in {name for name, _ in office.messages()}
    await hand.type("/oncall", f"back {day}")
    assert "Eve Falk is back from" in hand.reads()
    await hand.submit()
    assert office.web.rows("SELECT * FROM time_off") == []


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("because it &amp; that", "it & that"),
        ("BECAUSE… of <@U0MG4R1LJKS|cleo>", "of @cleo"),
        ("because\n two\tlines", "two lines"),
        ("", "no reason given"),
        ("because payload=%7B%7D&amp;payload", "payload=%7B%7D&payload"),
        pytest.param(f"because {QUOTES}", QUOTES, id="the longest that JSON makes of it"),
    ],
)
async def test_a_reason_is_kept_as_it_was_meant(office: Office, said: str, kept: str) -> None:
    hand, day, _ = await proposed(office, reason=f" {said}")
    await hand.submit()
    assert [row["reason"] for row in override_of(office, day, "PM")] == [kept]


@pytest.mark.parametrize("whom", ["@{handle}", "{email}", "<mailto:{email}|{email}>", "{slack_id}", "@{first}"])
async def test_people_are_named_in_many_ways(office: Office, whom: str) -> None:
    duty = await office.duty_of("Cleo", "PM")
    stand_in = office.personas[await office.free(duty)]
    fields = {name: getattr(stand_in, name) for name in ("handle", "email", "slack_id", "first")}
    hand = office.hand("Ada")
    await hand.type("/oncall", f"override {whom.format(**fields)} {duty.planned.date} PM")
    assert f"{stand_in.name} serves PM on" in hand.reads()


async def test_a_swap_in_words_asks_the_other_and_moves_nobody_yet(office: Office) -> None:
    mine, theirs = await office.duty_of("Cleo", "PM"), await office.duty_of("Dov", "PM")
    hand = office.hand("Cleo")
    text = f"swap {mine.planned.date} PM with @dov for {theirs.planned.date} PM because family"
    await hand.type("/oncall", text)
    assert f"Cleo Dahl asks Dov Egan to take PM on {mine.planned.date} for PM on {theirs.planned.date}" in hand.reads()
    await hand.submit()
    (swap,) = office.web.rows("SELECT * FROM shift_swaps")
    assert (swap["status"], swap["reason"]) == ("requested", "family")
    assert [name for name, _ in office.messages()] == ["Dov"]
    assert (await office.shift(mine.planned.date, "PM")).final_id == office.row("Cleo")


async def test_a_swap_in_windows(office: Office) -> None:
    mine, theirs = await office.duty_of("Cleo", "PM"), await office.duty_of("Dov", "PM")
    hand = office.hand("Cleo")
    await hand.type("/oncall", "swap")
    assert "Your shift" in hand.reads()
    chosen = f"{mine.planned.date} PM"
    heard = await hand.submit(mine=chosen, other=office.personas["Cleo"].slack_id)
    assert heard.text == "You cannot swap with yourself: name somebody else."
    heard = await hand.submit(mine=chosen, other=office.personas["Dov"].slack_id, reason="family & friends")
    assert "Nothing in return" in heard.text
    heard = await hand.submit(theirs=f"{theirs.planned.date} PM")
    assert f"to take PM on {mine.planned.date} for PM on {theirs.planned.date}" in heard.text
    assert (await hand.submit()).text.startswith("Done")
    (swap,) = office.web.rows("SELECT * FROM shift_swaps")
    assert (swap["user_id"], swap["other_id"]) == (office.row("Cleo"), office.row("Dov"))
    assert (str(swap["other_date"]), swap["reason"]) == (theirs.planned.date.isoformat(), "family & friends")


async def test_a_swap_for_nothing_in_return(office: Office) -> None:
    mine = await office.duty_of("Cleo", "PM")
    hand = office.hand("Cleo")
    await hand.type("/oncall", "swap")
    await hand.submit(mine=f"{mine.planned.date} PM", other=office.personas["Dov"].slack_id)
    await hand.submit(theirs="nothing")
    await hand.submit()
    assert office.web.one("SELECT other_date FROM shift_swaps") == {"other_date": None}


async def test_planning_anew_is_for_administrators(office: Office) -> None:
    await office.web.write(lambda tx: tx.exec_driver_sql("UPDATE users SET role = 'admin' WHERE name = 'Olga Tern'"))
    hand = office.hand("Olga")
    await hand.type("/oncall", "plan")
    assert "Plan the schedule anew" in hand.reads()
    assert (await hand.submit()).text.startswith("Done")


async def test_what_takes_longer_than_slack_waits_is_finished_all_the_same(office: Office) -> None:
    hand, day, _ = await proposed(office)
    with patch.object(bolt, "ANSWER_S", 0.0):  # the office has set it too: what is set last is undone first
        heard = await hand.submit()
    assert "This takes longer than Slack waits" in heard.text
    for _ in range(200):
        if override_of(office, day, "PM"):
            break
        await asyncio.sleep(0.01)
    assert len(override_of(office, day, "PM")) == len(office.web.events()) == 1
