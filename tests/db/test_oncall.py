"""The schedule's statements: whatever is before today does not change, on either way to the database."""

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Connection

from db import oncall, oncall_swaps
from db.oncall import Duty, Override, Planned
from db.oncall_swaps import Swap
from db.people import Person, add

YESTERDAY, TODAY, TOMORROW = date(2026, 11, 2), date(2026, 11, 3), date(2026, 11, 4)


def planned(day: date, user_id: int | None = 1, rotation: str = "PM") -> Planned:
    return Planned(day, rotation, user_id, "ada@example.com", "Ada", 1_000, 2_000, "run", False, {"why": "…"})


def override(day: date, user_id: int = 2) -> Override:
    return Override(day, "PM", user_id, "ben@example.com", "Ben", "ill", None, 5)


@pytest.fixture
def history(tx: Connection) -> Connection:
    """A shift of yesterday with its override, and one of tomorrow."""
    oncall.keep(tx, 1, Duty(planned(YESTERDAY), override(YESTERDAY)))
    oncall.put(tx, 1, [planned(TOMORROW)], TODAY)
    return tx


def everything(tx: Connection) -> list[Duty]:
    return oncall.between(tx, 1, date(2000, 1, 1), date(2100, 1, 1))


def test_no_statement_changes_a_row_of_the_past(history: Connection) -> None:
    before = everything(history)
    oncall.put(history, 1, [planned(YESTERDAY, user_id=9)], TODAY)
    assert not oncall.drop(history, 1, YESTERDAY, "PM", TODAY)
    assert not oncall.override(history, 1, override(YESTERDAY, 9), TODAY)
    assert not oncall.lift(history, 1, YESTERDAY, "PM", TODAY)
    assert not oncall.keep(history, 1, Duty(planned(YESTERDAY, user_id=9), override(YESTERDAY, 9)))
    assert everything(history) == before


def test_an_override_needs_a_shift_and_is_replaced_by_the_next_one(history: Connection) -> None:
    assert not oncall.override(history, 1, override(TODAY), TODAY)
    assert oncall.override(history, 1, override(TOMORROW), TODAY)
    assert oncall.override(history, 1, override(TOMORROW, 3), TODAY)
    duty = oncall.one(history, 1, TOMORROW, "PM")
    assert duty
    assert (duty.final_id, duty.planned.user_id) == (3, 1)
    assert oncall.lift(history, 1, TOMORROW, "PM", TODAY)
    assert not oncall.lift(history, 1, TOMORROW, "PM", TODAY)


def test_a_shift_taken_out_takes_its_override_along(history: Connection) -> None:
    oncall.override(history, 1, override(TOMORROW), TODAY)
    assert oncall.drop(history, 1, TOMORROW, "PM", TODAY)
    assert history.exec_driver_sql("SELECT count(*) FROM oncall_schedule_overrides").scalar() == 1


def test_planning_a_slot_again_keeps_its_override(history: Connection) -> None:
    oncall.override(history, 1, override(TOMORROW), TODAY)
    oncall.put(history, 1, [planned(TOMORROW, user_id=7)], TODAY)
    duty = oncall.one(history, 1, TOMORROW, "PM")
    assert duty
    assert (duty.planned.user_id, duty.final_id) == (7, 2)


def test_erasure_takes_the_name_and_the_reasons_and_leaves_the_number(history: Connection) -> None:
    oncall.forget(history, 1, "former member 1")
    past, future = everything(history)
    assert (past.planned.user_id, past.planned.email, past.planned.name) == (1, None, "former member 1")
    assert past.override == replace(override(YESTERDAY), reason="")
    assert future.planned.name == "former member 1"
    oncall.forget(history, 2, "former member 2")
    assert everything(history)[0].final_name == "former member 2"


def test_a_person_has_the_shifts_they_serve_in_the_end(history: Connection) -> None:
    oncall.override(history, 1, override(TOMORROW), TODAY)
    days = {who: [duty.planned.date for duty in oncall.of_person(history, 1, who, YESTERDAY, 10)] for who in (1, 2)}
    assert days == {1: [], 2: [YESTERDAY, TOMORROW]}


def test_a_shift_has_one_open_request_to_swap(history: Connection) -> None:
    ada, ben = (
        add(history, Person(None, None, name, None, None, None, None, "member", "active"), 0) for name in ("Ada", "Ben")
    )
    swap = Swap(0, TOMORROW, "PM", ada, None, None, ben, "", "requested", 5)
    first = oncall_swaps.add(history, 1, swap)
    assert first
    assert oncall_swaps.add(history, 1, swap) is None
    assert oncall_swaps.decide(history, 1, first, "declined", 9)
    assert not oncall_swaps.decide(history, 1, first, "accepted", 9)
    assert oncall_swaps.add(history, 1, swap)
