"""What is wanted and what is found, compared without a Notion or a database: what is repaired, what only reported."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from db.sync import Known
from handlers.notion.calendar import CURRENT, PAST, PLACE, SEALED, Calendars, Frame
from handlers.notion.calendar_cycle import OLD_PAST, OUTSIDE, Days, ShiftPages
from handlers.notion.comparing import (
    DIFFERENT,
    DUPLICATE,
    MISSING,
    ORPHAN,
    UNKNOWN,
    Comparison,
    Drift,
    Found,
    Listing,
    Ours,
    diff,
)
from handlers.pages import Page
from tests.rota import LONG_AGO, MONDAY, TODAY
from tests.stage import CONTEXT

NOW, OLD = f"shift:{TODAY}:AM", "shift:2027-01-08:AM"
FAR, BEFORE = "shift:2027-06-01:AM", "shift:2026-01-05:AM"
DAYS = Days(date(2027, 1, 4), date(2027, 2, 28), LONG_AGO)
SEAL = f"{SEALED}whatever"


def page(place: str, name: str = "AM · Ada") -> Page:
    return {PLACE: place, "Name": name}


def kind(days: Days | None = DAYS) -> ShiftPages:
    api: Any = None  # nothing is asked
    return ShiftPages(api, Calendars("now", "past"), CONTEXT, Frame(ZoneInfo("Europe/Berlin"), MONDAY), days)


def drifts(
    wanted: dict[str, Page], found: list[Found], known: dict[str, Known], days: Days | None = DAYS
) -> list[Drift]:
    one = kind(days)
    return one.judged(diff(wanted, found, known, one.owns), Listing(found), Ours(wanted, known, {}, set()))


CASES: dict[str, tuple[dict[str, Page], list[Found], dict[str, Known], list[tuple[str, str | None]]]] = {
    "nothing and nothing": ({}, [], {}, []),
    "as it should be": ({NOW: page(CURRENT)}, [Found("a", NOW, page(CURRENT))], {}, []),
    "a new shift": ({NOW: page(CURRENT)}, [], {}, [(MISSING, NOW)]),
    "edited by hand": ({NOW: page(CURRENT)}, [Found("a", NOW, page(CURRENT, "x"))], {}, [(DIFFERENT, NOW)]),
    "moved too early by hand": ({NOW: page(CURRENT)}, [Found("a", NOW, page(PAST))], {}, [(DIFFERENT, NOW)]),
    "become past": ({OLD: page(PAST)}, [Found("a", OLD, page(CURRENT))], {OLD: Known("a", "h")}, [(DIFFERENT, OLD)]),
    "become past, of unknown origin": ({OLD: page(PAST)}, [Found("a", OLD, page(CURRENT))], {}, [(DIFFERENT, OLD)]),
    "past and never shown": ({OLD: page(PAST)}, [], {}, [(MISSING, OLD)]),
    "past, its create in doubt": ({OLD: page(PAST)}, [], {OLD: Known(creating_since=1)}, [(MISSING, OLD)]),
    "past, moved, not written again": (
        {OLD: page(PAST)},
        [Found("a", OLD, page(PAST, ""))],
        {OLD: Known("a")},
        [(DIFFERENT, OLD)],
    ),
    "past, finished, edited": (
        {OLD: page(PAST)},
        [Found("a", OLD, page(PAST, "x"))],
        {OLD: Known("a", SEAL)},
        [(OLD_PAST, OLD)],
    ),
    "past, finished, gone": ({OLD: page(PAST)}, [], {OLD: Known("a", SEAL)}, [(OLD_PAST, OLD)]),
    "past, finished, not in the schedule any more": (
        {},
        [Found("a", OLD, page(PAST))],
        {OLD: Known("a", SEAL)},
        [(OLD_PAST, OLD)],
    ),
    "past and unknown here": ({OLD: page(PAST)}, [Found("a", OLD, page(PAST, "x"))], {}, [(OLD_PAST, OLD)]),
    "past, finished, with a twin in either calendar": (
        {OLD: page(PAST)},
        [Found("a", OLD, page(PAST)), Found("b", OLD, page(PAST)), Found("c", OLD, page(CURRENT))],
        {OLD: Known("a", SEAL)},
        [(OLD_PAST, OLD), (DUPLICATE, OLD)],
    ),
    "past, finished, moved back by hand": (
        {OLD: page(PAST)},
        [Found("a", OLD, page(CURRENT))],
        {OLD: Known("a", SEAL)},
        [(DIFFERENT, OLD)],
    ),
    "no such shift": (
        {},
        [Found("a", NOW, page(CURRENT)), Found("b", OLD, page(CURRENT))],
        {},
        [(ORPHAN, NOW), (ORPHAN, OLD)],
    ),
    "no such day": (
        {},
        [Found("a", FAR, page(CURRENT)), Found("b", BEFORE, page(CURRENT))],
        {},
        [(OUTSIDE, FAR), (OUTSIDE, BEFORE)],
    ),
    "not ours": ({}, [Found("a", None, page(CURRENT)), Found("b", "person:1", page(PAST))], {}, [(UNKNOWN, None)] * 2),
}


@pytest.mark.parametrize("case", CASES)
def test_s2_4_the_drift_is(case: str) -> None:
    """S2.4, S2.6, S2.9: a pure function over wanted and found."""
    wanted, found, known, expected = CASES[case]
    assert [(one.kind, one.key) for one in drifts(wanted, found, known)] == expected


def test_s2_6_without_a_schedule_nothing_is_an_orphan() -> None:
    found = [Found("a", NOW, page(CURRENT)), Found("b", OLD, page(PAST))]
    assert {one.kind for one in drifts({}, found, {}, None)} == {OUTSIDE, OLD_PAST}


def test_s2_10_what_is_only_reported_is_no_disagreement() -> None:
    assert Comparison(2, 2, [Drift(OLD_PAST, OLD), Drift(OUTSIDE, FAR), Drift(UNKNOWN, None)]).agreement == 1.0
    assert Comparison(2, 2, [Drift(DIFFERENT, NOW), Drift(OLD_PAST, OLD)]).agreement == 0.5
