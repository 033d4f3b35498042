"""Feeds: documents a calendar can read, right across changes of the clock, behind tokens nobody can read here."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar, Event

from db.oncall_feeds import Feed
from handlers.oncall import feeds, ical
from handlers.oncall.refusal import Refusal
from tests.handlers.oncall.team import CONTEXT, MONDAY, Team, at, in_days

EVERYBODY = Feed(1, 1, None)


def events(document: bytes) -> list[Event]:
    return [one for one in Calendar.from_ical(document).walk("VEVENT") if isinstance(one, Event)]


def summaries(document: bytes) -> set[str]:
    return {str(event["SUMMARY"]) for event in events(document)}


def test_the_workspace_s_feed_has_every_shift_once_and_says_whose_it_is(team: Team) -> None:
    found = events(ical.document(team.tx, EVERYBODY, team.now))
    planned = team.rows("SELECT date, rotation, name FROM oncall_schedule")
    assert len(found) == len(planned)
    assert {str(event["UID"]) for event in found} == {f"1-{r['date']}-{r['rotation']}@rollcall" for r in planned}
    assert {str(event["SUMMARY"]) for event in found} == {f"{r['rotation']} on call: {r['name']}" for r in planned}


def test_a_person_s_feed_has_what_they_serve_in_the_end(team: Team) -> None:
    was = team.server(in_days(1), "PM")
    assert was
    instead = next(name for name in team.ids if name != was)
    team.override(in_days(1), "PM", instead, reason="ill, sorry; back soon")
    days = {name: ical.document(team.tx, Feed(1, 1, team.ids[name]), team.now) for name in (was, instead)}
    uid = f"1-{in_days(1)}-PM@rollcall"
    assert uid not in {str(event["UID"]) for event in events(days[was])}
    mine = next(event for event in events(days[instead]) if str(event["UID"]) == uid)
    assert str(mine["SUMMARY"]) == "PM on call"
    assert str(mine["DESCRIPTION"]) == f"{instead} instead of {was}: ill, sorry; back soon"


def test_times_are_instants_that_stay_right_when_the_clock_changes(team: Team) -> None:
    team.set(zone="Europe/Berlin", horizon_days=180)
    found = {str(event["UID"]): event for event in events(ical.document(team.tx, EVERYBODY, team.now))}
    for day, hour in ((date(2027, 3, 26), 8), (date(2027, 3, 29), 7)):
        event = found[f"1-{day}-AM@rollcall"]
        assert event.start == datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
        assert event.start.astimezone(ZoneInfo("Europe/Berlin")).hour == 9
        assert event.end - event.start == timedelta(hours=3)


def test_the_document_has_what_rfc_5545_asks_for_and_long_lines_are_folded(team: Team) -> None:
    instead = next(name for name in team.ids if name != team.server(in_days(1), "PM"))
    team.override(in_days(1), "PM", instead, reason="because " + "of reasons, ünd so weiter; " * 12)
    document = ical.document(team.tx, EVERYBODY, team.now)
    calendar = Calendar.from_ical(document)
    assert (calendar["VERSION"], bool(calendar["PRODID"])) == ("2.0", True)
    assert all(len(line) <= 75 for line in document.split(b"\r\n"))
    for event in events(document):
        assert {"UID", "DTSTAMP", "DTSTART", "DTEND", "SUMMARY"} <= event.keys()
        assert not event.errors


def test_equal_bytes_while_nothing_changes_and_others_when_something_does(team: Team) -> None:
    once = ical.document(team.tx, EVERYBODY, team.now)
    team.now = at(MONDAY, "11:00")
    assert ical.document(team.tx, EVERYBODY, team.now) == once
    team.override(in_days(1), "PM", next(name for name in team.ids if name != team.server(in_days(1), "PM")))
    assert ical.document(team.tx, EVERYBODY, team.now) != once


def test_a_token_is_kept_as_a_hash_only_and_ends_when_it_is_revoked(team: Team) -> None:
    token = feeds.issue(team.tx, CONTEXT, team.ids["Ada"], team.now)
    assert token not in str(team.rows("SELECT * FROM oncall_feeds"))
    named = feeds.find(team.tx, token)
    assert named
    assert named.user_id == team.ids["Ada"]
    feeds.revoke(team.tx, CONTEXT, named.id, team.now)
    assert feeds.find(team.tx, token) is None
    with pytest.raises(Refusal, match=r"There is no feed \d+"):
        feeds.revoke(team.tx, CONTEXT, named.id, team.now)
