"""App Home: my next shifts, swaps to answer, my balance; published through the outbox, so that it is never lost."""

from typing import Any

import pytest

from handlers.oncall.requests import AnswerSwap, AskSwap
from service.clock import now_ms
from tests.handlers.slack.office import Office
from tests.service.web import Json, fixture


def opened_by(office: Office, name: str, number: int, **more: Any) -> Json:
    """Slack tells that somebody looks at their home page."""
    event = fixture("slack/app_home_opened")
    home = office.hand(name).home
    said = event["event"] | {"user": office.personas[name].slack_id, "view": home} | more
    return event | {
        "event_id": f"Ev{number}",
        "event": {key: value for key, value in said.items() if value is not None},
    }


async def look(office: Office, name: str, number: int = 1) -> str:
    """Open the home page, have the relay run; what is read there."""
    assert await office.web.slack(opened_by(office, name, number)) == "applied"
    await office.deliver()
    home = office.hand(name).home
    return "" if home is None else str(home["blocks"])


def published(office: Office) -> int:
    return len(office.world.requests.to("slack", path="/api/views.publish", status=200))


async def ask(office: Office) -> tuple[Any, Any]:
    """Cleo asks Dov to take a shift of hers for one of his."""
    mine, theirs = await office.duty_of("Cleo", "PM"), await office.duty_of("Dov", "PM")
    asked = AskSwap(
        by=office.row("Cleo"),
        date=mine.planned.date,
        rotation="PM",
        other=office.row("Dov"),
        other_date=theirs.planned.date,
        other_rotation="PM",
        reason="family",
    )
    await office.desk.confirm(asked, None, now_ms())
    return mine, theirs


async def test_opening_it_publishes_my_shifts_and_my_balance(office: Office) -> None:
    duty = await office.duty_of("Eve")
    text = await look(office, "Eve")
    assert f"{duty.planned.date}" in text
    assert "Hours served less hours due" in text
    assert "Europe/Berlin" in text
    assert published(office) == 1


async def test_a_page_that_shows_what_it_should_is_not_published_again(office: Office) -> None:
    for number in range(3):
        await look(office, "Eve", number)
    assert published(office) == 1


async def test_a_page_that_slack_lost_is_published_again(office: Office) -> None:
    await look(office, "Eve")
    office.world.slack.homes.clear()
    assert "Your next shifts" in await look(office, "Eve", 2)


async def test_another_tab_is_nothing_to_us(office: Office) -> None:
    assert await office.web.slack(opened_by(office, "Eve", 1, tab="messages")) == "ignored"
    assert office.marks() == set()


async def test_an_account_nobody_knows_is_told_how_to_become_known(office: Office) -> None:
    office.world.slack.put(office.world.slack.users[office.personas["Eve"].slack_id] | {"id": "U0STRANGER"})
    event = opened_by(office, "Eve", 1, user="U0STRANGER")
    assert await office.web.slack(event) == "applied"
    await office.deliver()
    assert "confirm the e-mail address" in str(office.world.slack.homes["U0STRANGER"])


async def test_the_page_of_an_account_that_is_gone_is_no_failure(office: Office) -> None:
    assert await office.web.slack(opened_by(office, "Eve", 1)) == "applied"
    del office.world.slack.users[office.personas["Eve"].slack_id]
    await office.deliver()
    assert office.web.rows("SELECT key FROM sync_actions WHERE sink = 'slack' AND status <> 'settled'") == []


async def test_it_survives_an_outage_of_slack(office: Office) -> None:
    outage = office.world.faults.add(platform="slack", status=503, times=None)
    assert await office.web.slack(opened_by(office, "Eve", 1)) == "applied"
    await office.deliver_once()
    outage.times = 0
    await office.web.write(lambda tx: tx.exec_driver_sql("UPDATE limits SET probe_at = 0"))
    await office.deliver()
    assert office.hand("Eve").home is not None


@pytest.mark.parametrize(("button", "status"), [("swap_accept", "accepted"), ("swap_decline", "declined")])
async def test_a_swap_is_answered_from_the_home_page(office: Office, button: str, status: str) -> None:
    mine, theirs = await ask(office)
    assert "Cleo Dahl asks you to take PM" in await look(office, "Dov")
    hand = office.hand("Dov")
    await hand.press(button)
    assert f"is {status}" in hand.reads()
    assert ("Who moves" in hand.reads()) is (status == "accepted")
    assert (await hand.submit()).text.startswith("Done")
    assert office.web.one("SELECT status FROM shift_swaps") == {"status": status}
    moved = status == "accepted"
    assert (await office.shift(mine.planned.date, "PM")).final_id == office.row("Dov" if moved else "Cleo")
    assert (await office.shift(theirs.planned.date, "PM")).final_id == office.row("Cleo" if moved else "Dov")
    await office.deliver()
    assert "asks you" not in str(hand.home)
    assert any(f"is {status}" in text for text in office.heard("Cleo"))


async def test_whoever_asked_can_take_it_back(office: Office) -> None:
    await ask(office)
    assert "You ask Dov Egan to take PM" in await look(office, "Cleo")
    await office.hand("Cleo").press("swap_cancel")
    await office.hand("Cleo").submit()
    assert office.web.one("SELECT status FROM shift_swaps") == {"status": "cancelled"}


async def test_an_answer_after_the_fact_says_so(office: Office) -> None:
    await ask(office)
    await look(office, "Dov")
    swap = office.web.one("SELECT id FROM shift_swaps")["id"]
    await office.desk.confirm(AnswerSwap(by=office.row("Cleo"), swap=swap, answer="cancel"), None, now_ms())
    heard = await office.hand("Dov").press("swap_accept")
    assert f"Swap {swap} is not open (any more)" in heard.text
    assert "submit" not in (office.hand("Dov").window or {})


async def test_only_the_one_who_was_asked_can_accept(office: Office) -> None:
    await ask(office)
    swap = office.web.one("SELECT id FROM shift_swaps")["id"]
    heard = await office.hand("Eve").press("swap_accept", str(swap))
    assert "Only Dov Egan can accept this swap" in heard.text


async def test_the_command_shows_the_same_buttons(office: Office) -> None:
    await ask(office)
    heard = await office.hand("Dov").type("/oncall", "me")
    assert "Accept" in heard.text
    swap = office.web.one("SELECT id FROM shift_swaps")["id"]
    await office.hand("Dov").press("swap_decline", str(swap))
    assert "is declined" in office.hand("Dov").reads()


async def test_a_confirmed_change_marks_the_pages_of_everybody_concerned(office: Office) -> None:
    duty = await office.duty_of("Cleo", "PM")
    stand_in = await office.free(duty)
    await office.hand("Ada").type("/oncall", f"override {office.mention(stand_in)} {duty.planned.date} PM")
    await office.hand("Ada").submit()
    homes = {key for key in office.marks() if key.startswith("home:")}
    assert homes == {f"home:{office.personas[name].slack_id}" for name in ("Ada", "Cleo", stand_in)}


async def test_time_off_to_come_stands_there(office: Office) -> None:
    await office.hand("Eve").type("/oncall", "off 2026-12-24..2026-12-31 because of snow")
    await office.hand("Eve").submit()
    assert "2026-12-24..2026-12-31 of snow" in await look(office, "Eve")
