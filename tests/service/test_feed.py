"""`GET /oncall/<token>.ics`: for whoever holds the token, cached while nothing changes, one 404 for everybody else."""

import pytest
from icalendar import Calendar

from db import people
from db.people import Person
from handlers.oncall import feeds
from handlers.oncall.desk import Desk
from handlers.oncall.requests import Replan
from handlers.registry import Context
from service.clock import now_ms
from tests.service.web import Web

CONTEXT = Context()


@pytest.fixture
async def token(web: Web) -> str:
    for name, pool in (("Ada", "AM"), ("Ben", "AM"), ("Pia", "PM")):
        person = Person(None, f"{name.lower()}@example.com", name, None, None, None, None, "member", "active")
        await web.write(people.set_rotations, 1, await web.write(people.add, person, 0), [pool])
    await Desk(web.service.database, CONTEXT).confirm(Replan(anyway=True), None, now_ms())
    return str(await web.write(feeds.issue, CONTEXT, None, now_ms()))


async def test_whoever_holds_the_token_reads_the_calendar_without_signing_in(web: Web, token: str) -> None:
    answer = await web.client.get(f"/oncall/{token}.ics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/calendar")
    assert answer.headers["cache-control"] == "private, max-age=300"
    planned = web.one("SELECT count(*) AS n FROM oncall_schedule")["n"]
    assert len(Calendar.from_ical(answer.content).walk("VEVENT")) == planned


async def test_a_reader_who_has_it_already_is_sent_nothing(web: Web, token: str) -> None:
    tag = (await web.client.get(f"/oncall/{token}.ics")).headers["etag"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await web.client.get(f"/oncall/{token}.ics", headers={"If-None-Match": sent})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await web.client.get(f"/oncall/{token}.ics", headers={"If-None-Match": '"x"'})).status_code == 200


@pytest.mark.parametrize("wrong", ["x", "x" * 5000, "%00", "%C3%BC", "..%2Fhealthz"])
async def test_every_wrong_token_gets_the_same_404(web: Web, token: str, wrong: str) -> None:
    answer = await web.client.get(f"/oncall/{wrong}.ics")
    assert answer.status_code == 404
    revoked = web.one("SELECT id FROM oncall_feeds")["id"]
    await web.write(feeds.revoke, CONTEXT, revoked, now_ms())
    ended = await web.client.get(f"/oncall/{token}.ics")
    assert (ended.status_code, ended.content) == (answer.status_code, answer.content)
    assert ended.headers.keys() == answer.headers.keys()


async def test_a_feed_is_only_read(web: Web, token: str) -> None:
    assert (await web.client.post(f"/oncall/{token}.ics")).status_code == 405
