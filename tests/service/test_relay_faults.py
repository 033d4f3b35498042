"""The relay when things go wrong: whose failure it is, who waits for how long, and that nothing is lost or doubled."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db import limits, outbox
from db.limits import PROBE_EVERY_MS
from db.outbox import LEASE_MS
from handlers.registry import Throttled
from service.leases import Attempt, blame_mark, pause_sink, put_back, take_work
from service.sandbox.faults import Fault
from tests.stage import CONTEXT, Stage, staged


@pytest.fixture
async def stage(tmp_path: Path, database_kind: str) -> AsyncIterator[Stage]:
    async with staged(tmp_path, database_kind) as stage:
        yield stage


# -- a create whose answer nobody saw ------------------------------------------------------------------------

UNANSWERED = {
    "time-out": {"kind": "hang", "seconds": 0.5, "committed": True},
    "dropped": {"kind": "drop", "committed": True},
    "503": {"status": 503, "committed": True},
    "503 naming the page": {"status": 503, "committed": True, "named": True},
    "504": {"status": 504, "committed": True},
    "500": {"status": 500, "committed": True},
    "502 in HTML": {"kind": "html", "status": 502, "committed": True},
    "200 in HTML": {"kind": "html", "status": 200, "committed": True},
    "no JSON": {"kind": "garbage", "committed": True},
    "409": {"status": 409, "committed": True},
    "429": {"status": 429, "retry_after": 1, "committed": True},
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.notion.api.TIMEOUT_S", 0.2)


@pytest.mark.parametrize("committed", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("how", UNANSWERED)
async def test_a_create_without_an_answer_ends_in_one_page(
    stage: Stage, impatient: None, how: str, committed: bool
) -> None:
    fault = {**UNANSWERED[how], "committed": committed}
    stage.world.faults.add(method="POST", path_prefix="/v1/pages", **fault)
    await stage.say("user_1", "Ada")
    await stage.run()
    await stage.agreed()
    assert len(stage.pages()) == 1
    assert stage.pages(trashed=True) == []


async def test_a_503_that_names_the_page_it_made_is_taken_at_its_word(stage: Stage) -> None:
    stage.world.faults.add(method="POST", status=503, committed=True, named=True)
    await stage.say("user_1", "Ada")
    await stage.run()
    await stage.agreed()
    assert len(stage.world.requests) == 1
    assert not (await stage.gate()).paused


async def test_a_kill_between_create_and_settle_ends_in_one_page(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    work = await stage.take()
    await stage.loop.sink.deliver(stage.database, work.claims[0])
    assert stage.creates == 1
    stage.clock.skip(LEASE_MS)
    await (await stage.second()).run()
    await stage.agreed()
    assert stage.creates == 1


async def test_a_create_in_doubt_of_a_person_who_left_is_found_and_trashed(stage: Stage) -> None:
    stage.world.faults.add(method="POST", kind="drop", committed=True)
    await stage.say("user_1", "Ada")
    await stage.round()
    await stage.remove("user_1")
    await stage.run()
    assert stage.pages() == []
    assert len(stage.pages(trashed=True)) == 1


async def test_the_mark_that_a_create_may_be_under_way_is_durable_before_it_is_sent(stage: Stage) -> None:
    slow = stage.world.faults.add(method="POST", kind="slow", seconds=0.2)
    await stage.say("user_1", "Ada")
    key = await stage.key("user_1")
    delivery = asyncio.create_task(stage.round())
    while not slow.hits:  # noqa: ASYNC110 - the sandbox has no event for it
        await asyncio.sleep(0.001)
    assert (await stage.known(key))["creating_since"] is not None
    await delivery
    assert (await stage.known(key))["creating_since"] is None


@pytest.mark.parametrize("how", UNANSWERED)
async def test_an_update_without_an_answer_that_is_then_taken_back_is_undone(
    stage: Stage, impatient: None, how: str
) -> None:
    """What Notion holds is in doubt, so that "as it was before" is no reason to send nothing."""
    await stage.say("user_1", "Ada")
    await stage.run()
    stage.world.faults.add(method="PATCH", **UNANSWERED[how])
    await stage.say("user_1", "Augusta")
    await stage.round()
    await stage.say("user_1", "Ada")
    await stage.run()
    await stage.agreed()


# -- the sink's failure --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outage:
    """How Notion fails as a whole: by faults, or by what somebody did to the integration."""

    fault: dict[str, Any] | None = None
    act: str = ""

    def begin(self, stage: Stage) -> None:
        notion = stage.world.notion
        if self.fault is not None:
            stage.world.faults.add(platform="notion", times=None, **self.fault)
        elif self.act == "token":
            notion.token = "ntn_other"
        elif self.act == "capability":
            notion.capabilities.insert_content = False
        elif self.act == "unshared":
            notion.unshare(stage.data_source_id)
        elif self.act == "trashed":
            notion.store.data_sources[stage.data_source_id].in_trash = True
        else:
            source = notion.store.data_sources[stage.data_source_id]
            del source.schema["Status"]
            if self.act == "retyped":
                source.schema["Status"] = {"id": "new", "name": "Status", "type": "number", "number": {}}
            source.reindex()

    def end(self, stage: Stage, token: str) -> None:
        notion = stage.world.notion
        stage.world.faults.calm()
        notion.token = token
        notion.capabilities.insert_content = True
        notion.store.unshared.clear()
        source = notion.store.data_sources[stage.data_source_id]
        source.in_trash = False
        options = [{"id": "1", "name": "active", "color": "red", "description": None}]
        source.schema["Status"] = {"id": "s", "name": "Status", "type": "select", "select": {"options": options}}
        source.reindex()


OUTAGES = {
    "time-out": Outage({"kind": "hang", "seconds": 5}),
    "dropped connections": Outage({"kind": "drop"}),
    **{str(status): Outage({"status": status}) for status in (500, 502, 503, 504, 529, 401, 403)},
    "HTML": Outage({"kind": "html", "status": 502}),
    "HTML with 200": Outage({"kind": "html", "status": 200}),
    "no JSON": Outage({"kind": "garbage"}),
    "public_api_request_blocked": Outage(
        {"status": 429, "retry_after": 1, "reason": "public_api_request_blocked"},
    ),
    "another token": Outage(act="token"),
    "a capability taken away": Outage(act="capability"),
    "the data source unshared": Outage(act="unshared"),
    "the data source in the trash": Outage(act="trashed"),
    "a property removed": Outage(act="removed"),
    "a property of another type": Outage(act="retyped"),
}


@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage_pauses_the_sink_and_blames_no_mark(stage: Stage, impatient: None, name: str) -> None:
    outage, token = OUTAGES[name], stage.world.notion.token
    outage.begin(stage)
    for number in range(3):
        await stage.say(f"user_{number}")
    work = await stage.round()
    assert (len(work.claims), work.probe) == (3, False)
    gate = await stage.gate()
    assert gate.paused
    assert (gate.failures, gate.off) == (1, False)

    # One mark probes: at once, after 2, 4, 8 and 16 s, then every minute; there is one alert, after the 16 s step.
    for wait in (0, 2_000, 4_000, 8_000, 16_000, PROBE_EVERY_MS, PROBE_EVERY_MS):
        assert len(await stage.alerts()) == (1 if wait == PROBE_EVERY_MS else 0)
        if wait:
            stage.clock.skip(wait - 1_000)
            assert (await stage.take()).claims == []
            stage.clock.skip(1_001)
        sent = len(stage.world.requests)
        work = await stage.round()
        assert (len(work.claims), work.probe) == (1, True)
        assert sent < len(stage.world.requests) <= sent + 2  # where a create is in doubt, a look before it
        assert (await stage.take()).claims == []
    assert len(await stage.alerts()) == 1
    marks = (await stage.marks()).values()
    assert [(mark["status"], mark["attempts"]) for mark in marks] == [("due", 0)] * 3

    outage.end(stage, token)
    stage.clock.skip(PROBE_EVERY_MS)
    assert (await stage.round()).probe
    gate = await stage.gate()
    assert (gate.paused, gate.failures, gate.reason) == (False, 0, None)
    await stage.run()
    await stage.agreed()
    assert len(await stage.alerts()) == 1


async def test_an_alert_about_an_outage_names_no_address_and_no_token(stage: Stage) -> None:
    token = stage.world.notion.token
    stage.world.notion.token = "ntn_other"
    await stage.say("user_1")
    for _ in range(6):
        await stage.round()
        stage.clock.skip(16_000)
    (alert,) = (await stage.marks("slack")).values()
    assert "notion" in str(alert["payload"])
    assert "rollcall doctor" in str(alert["payload"])
    assert "@" not in str(alert["payload"])
    assert token not in str(alert["payload"])


async def test_the_first_good_answer_ends_an_outage_and_the_next_one_is_counted_anew(stage: Stage) -> None:
    for _ in range(2):
        stage.world.faults.add(status=500, times=5)
        await stage.say("user_1", str(stage.clock()))
        await stage.run()
        assert not (await stage.gate()).paused
    assert await stage.alerts() == []


async def test_what_was_under_way_when_the_sink_went_down_does_not_hurry_the_probes(stage: Stage) -> None:
    for number in range(4):
        await stage.say(f"user_{number}")
    now = stage.clock()
    work = await stage.take()
    for claim in work.claims:
        await stage.database.write(pause_sink, Attempt(claim, probe=False, began_at=now), "down", CONTEXT, now)
    gate = await stage.gate()
    assert (gate.failures, gate.probe_at) == (1, now)


async def test_a_probe_that_was_killed_is_followed_by_another_when_its_lease_ends(stage: Stage) -> None:
    for number in range(4):
        await stage.say(f"user_{number}")
    now = stage.clock()
    await stage.database.write(limits.pause, "notion", "down", now)
    assert len((await stage.take()).claims) == 1  # the probe; its process is killed
    assert (await stage.take()).claims == []
    stage.clock.skip(LEASE_MS - 1_000)
    assert (await stage.take()).claims == []
    stage.clock.skip(1_001)
    work = await stage.take()
    assert (len(work.claims), work.probe) == (1, True)
    assert (await stage.gate()).paused_at == now


async def test_a_probe_refused_for_its_own_sake_proves_that_the_sink_works(stage: Stage) -> None:
    await stage.say("user_1")
    now = stage.clock()
    await stage.database.write(limits.pause, "notion", "down", now)
    probe = await stage.database.write(take_work, "notion", "a", now, 4)
    assert probe.probe
    await stage.database.write(blame_mark, Attempt(probe.claims[0], probe.probe, now), "bad", CONTEXT, now)
    assert not (await stage.gate()).paused


async def test_a_probe_told_to_wait_probes_again_after_the_wait(stage: Stage) -> None:
    await stage.say("user_1")
    now = stage.clock()
    await stage.database.write(limits.pause, "notion", "down", now)
    probe = await stage.database.write(take_work, "notion", "a", now, 4)
    attempt = Attempt(probe.claims[0], probe.probe, now)
    assert await stage.database.write(put_back, attempt, Throttled("slowly", 30), now)
    assert (await stage.database.write(take_work, "notion", "a", now + 29_999, 4)).claims == []
    again = await stage.database.write(take_work, "notion", "a", now + 30_000, 4)
    assert (len(again.claims), again.probe, again.claims[0].attempts) == (1, True, 0)


# -- asked to wait -------------------------------------------------------------------------------------------


async def test_after_a_429_nobody_sends_before_retry_after_is_over(stage: Stage) -> None:
    other = await stage.second()
    stage.world.faults.add(status=429, retry_after=0.6)
    for number in range(8):
        await stage.say(f"user_{number}")
    await stage.round()
    refused = next(request for request in stage.world.requests if request.status == 429)

    async def keep_trying(one: Stage) -> None:
        for _ in range(60):
            await one.round()
            await asyncio.sleep(0.015)

    await asyncio.gather(keep_trying(stage), keep_trying(other))
    after = [request.monotonic - refused.monotonic for request in stage.world.requests]
    assert [wait for wait in after if 0.1 < wait < 0.6] == []
    await stage.agreed()
    logs = await stage.rows("SELECT attempt FROM sync_logs")
    assert {row["attempt"] for row in logs} == {1}
    assert not (await stage.gate()).paused


async def test_a_429_in_the_middle_of_a_delivery_holds_back_its_next_request_too(stage: Stage) -> None:
    stage.world.faults.add(method="POST", kind="drop", committed=True)
    await stage.say("user_1", "Ada")
    await stage.round()
    work = await stage.take()
    await stage.database.write(limits.block, "notion", stage.clock() + 400)
    sent = len(stage.world.requests)
    delivery = asyncio.create_task(stage.deliver(work))
    await asyncio.sleep(0.3)
    assert len(stage.world.requests) == sent
    await delivery
    await stage.agreed()


@pytest.mark.parametrize("said", [None, 0, 7200])
async def test_retry_after_is_believed_within_reason(stage: Stage, said: float | None) -> None:
    """Without a number a second is a guess; more than an hour is not believed."""
    stage.world.faults.add(status=429, retry_after=said)
    await stage.say("user_1")
    await stage.round()
    wait = (await stage.gate()).blocked_until - stage.clock()
    assert {None: 0 < wait <= 1_000, 0: wait <= 100, 7200: 3_590_000 < wait <= 3_600_000}[said]


async def test_a_mark_put_back_by_a_429_spends_no_attempt(stage: Stage) -> None:
    stage.world.faults.add(status=429, retry_after=1, times=20)
    await stage.say("user_1")
    for _ in range(20):
        await stage.round()
        stage.clock.skip(1_001)
    (mark,) = (await stage.marks()).values()
    assert (mark["status"], mark["attempts"]) == ("due", 0)
    await stage.run()
    await stage.agreed()


# -- one mark refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 409])
async def test_a_refused_mark_is_tried_at_once_after_2_4_8_and_16_s_and_is_then_dead(stage: Stage, status: int) -> None:
    await stage.say("user_bad", "Bad")
    await stage.say("user_1")
    await stage.say("user_2")
    bad = await stage.key("user_bad")
    stage.world.faults.add(status=status, contains="user_bad", times=None)
    assert len((await stage.round()).claims) == 3
    assert len(stage.pages()) == 2
    for wait in (0, 2_000, 4_000, 8_000, 16_000):
        if wait:
            stage.clock.skip(wait - 1_000)
            assert (await stage.take()).claims == []
            stage.clock.skip(1_001)
        assert await stage.alerts() == []
        assert [claim.key for claim in (await stage.round()).claims] == [bad]
    mark = (await stage.marks())[bad]
    assert (mark["status"], mark["attempts"]) == ("dead", 6)
    assert f"Notion {status}" in mark["error"]
    assert await stage.alerts() == [f"alert:dead:notion:{mark['id']}:1"]
    stage.clock.skip(3_600_000)
    await stage.round()
    sent = len(stage.world.requests)
    await stage.run()
    assert len(stage.world.requests) == sent, "a dead mark is left alone"
    assert not (await stage.gate()).paused


async def dead_mark(stage: Stage) -> str:
    """Somebody whose page is dead, though Notion would take it by now."""
    fault = stage.world.faults.add(status=400, times=None)
    await stage.say("user_bad", "Bad")
    await stage.run()
    fault.times = 0
    key = await stage.key("user_bad")
    assert (await stage.marks())[key]["status"] == "dead"
    return key


async def test_a_dead_mark_is_delivered_when_it_is_retried(stage: Stage) -> None:
    key = await dead_mark(stage)
    mark = (await stage.marks())[key]
    assert await stage.database.write(outbox.retry, [mark["id"]], stage.clock()) == 1
    await stage.run()
    await stage.agreed()


async def test_a_dead_mark_is_delivered_when_its_person_changes(stage: Stage) -> None:
    await dead_mark(stage)
    await stage.say("user_bad", "Good")
    await stage.run()
    await stage.agreed()


async def test_a_mark_that_dies_again_after_a_change_is_alerted_again(stage: Stage) -> None:
    await dead_mark(stage)
    stage.world.faults.add(status=400, times=None)
    await stage.say("user_bad", "Worse")
    await stage.run()
    assert len(await stage.alerts()) == 2


async def test_a_change_during_the_last_attempt_keeps_the_mark_alive_and_raises_no_alert(stage: Stage) -> None:
    await stage.say("user_1")
    now = stage.clock()
    for _ in range(5):
        work = await stage.database.write(take_work, "notion", "a", now, 4)
        await stage.database.write(blame_mark, Attempt(work.claims[0], probe=False, began_at=now), "bad", CONTEXT, now)
        now += 16_000
    work = await stage.database.write(take_work, "notion", "a", now, 4)
    assert work.claims[0].attempts == 5
    await stage.say("user_1", "Augusta")
    await stage.database.write(blame_mark, Attempt(work.claims[0], probe=False, began_at=now), "bad", CONTEXT, now)
    (mark,) = (await stage.marks()).values()
    assert (mark["status"], mark["attempts"]) == ("due", 0)
    assert await stage.alerts() == []


async def test_a_refusal_by_somebody_who_lost_the_lease_blames_nobody(stage: Stage) -> None:
    await stage.say("user_1")
    now = stage.clock()
    late = await stage.database.write(take_work, "notion", "a", now, 4)
    await stage.database.write(take_work, "notion", "b", now + LEASE_MS, 4)
    attempt = Attempt(late.claims[0], probe=False, began_at=now)
    assert not await stage.database.write(blame_mark, attempt, "bad", CONTEXT, now + LEASE_MS)
    (mark,) = (await stage.marks()).values()
    assert (mark["status"], mark["attempts"], mark["lease_token"]) == ("leased", 0, "b")


async def test_a_person_notion_does_not_know_any_more_is_shown_by_address(stage: Stage) -> None:
    """Naming somebody who left Notion is refused; the list is read anew, and the page shows the address alone."""
    notion_id = stage.world.notion.add_user(
        {"id": "11111111-1111-4111-a111-111111111111", "type": "person", "name": "A", "object": "user"}
        | {"avatar_url": None, "person": {"email": "user_1@example.com"}}
    )
    await stage.database.write(outbox.mark, 1, ("notion",), "users", stage.clock())
    await stage.say("user_1", "Ada")
    await stage.run()
    assert stage.pages()[0]["Person"] == [notion_id]
    stage.world.notion.remove_user(notion_id)
    await stage.say("user_1", "Augusta")
    await stage.run()
    key = await stage.key("user_1")
    assert (await stage.marks())[key]["status"] == "settled"
    await stage.agreed()
    assert stage.pages()[0]["Person"] == []


# -- pages that somebody touched by hand ---------------------------------------------------------------------


async def test_a_page_trashed_by_hand_is_made_again_once(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    await stage.run()
    stage.world.notion.edit(stage.world.notion.pages_of(stage.data_source_id)[0]["id"], in_trash=True)
    for name in ("Augusta", "Ada", "Augusta"):
        await stage.say("user_1", name)
        await stage.run()
        await stage.agreed()
    assert stage.creates == 2


async def test_a_page_that_is_not_there_any_more_is_made_again_once(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    await stage.run()
    store = stage.world.notion.store
    (page_id,) = store.data_sources[stage.data_source_id].pages
    store.pages.pop(page_id)
    store.data_sources[stage.data_source_id].pages.pop(page_id)
    for name in ("Augusta", "Ada"):
        await stage.say("user_1", name)
        await stage.run()
        await stage.agreed()
    assert stage.creates == 2


async def test_removing_a_person_whose_page_is_gone_already_is_done(stage: Stage) -> None:
    await stage.say("user_1", "Ada")
    await stage.run()
    stage.world.notion.edit(stage.world.notion.pages_of(stage.data_source_id)[0]["id"], in_trash=True)
    await stage.remove("user_1")
    await stage.run()
    assert stage.pages() == []
    assert {mark["status"] for mark in (await stage.marks()).values()} == {"settled"}


async def test_of_two_pages_with_one_key_one_stays_when_we_look(stage: Stage) -> None:
    """The older, as far as Notion tells: its times are whole minutes."""
    stage.world.faults.add(method="POST", kind="drop", committed=True)
    await stage.say("user_1", "Ada")
    await stage.round()
    key = {"Rollcall key": {"rich_text": [{"text": {"content": await stage.key("user_1")}}]}}
    stage.world.notion.add_row(stage.data_source_id, key)
    await stage.run()
    await stage.agreed()
    assert len(stage.pages(trashed=True)) == 1


# -- any faults, any changes ---------------------------------------------------------------------------------

STATUSES = (400, 401, 403, 409, 500, 502, 503, 504, 529)
FAULTS = st.one_of(
    st.just({"kind": "slow"}),  # the true answer
    st.builds(
        lambda status, committed, named: {"status": status, "committed": committed, "named": named},
        st.sampled_from(STATUSES),
        st.booleans(),
        st.booleans(),
    ),
    st.builds(
        lambda kind, committed, seconds: {"kind": kind, "committed": committed, "seconds": seconds},
        st.sampled_from(["drop", "html", "garbage", "hang", "slow"]),
        st.booleans(),
        st.sampled_from([0.0, 0.01]),
    ),
    st.builds(lambda committed: {"status": 429, "retry_after": 0.1, "committed": committed}, st.booleans()),
)
STEPS = st.one_of(
    st.tuples(st.just("say"), st.integers(0, 4), st.sampled_from(["Ada", "Grace"])),
    st.tuples(st.just("remove"), st.integers(0, 4)),
    st.tuples(st.just("deliver")),
    st.tuples(st.just("deliver elsewhere")),
    st.tuples(st.just("deliver while"), st.integers(0, 4), st.sampled_from(["Ada", "Grace"])),
    st.tuples(st.just("kill")),
    st.tuples(st.just("skip"), st.sampled_from([2_001, 16_001, LEASE_MS])),
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(faults=st.lists(FAULTS, max_size=25), steps=st.lists(STEPS, min_size=3, max_size=25))
def test_whatever_fails_in_whatever_order_notion_agrees_in_the_end(
    faults: list[dict[str, Any]], steps: list[tuple[Any, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), faults, steps))


async def play(folder: Path, faults: list[dict[str, Any]], steps: list[tuple[Any, ...]]) -> None:
    async with staged(folder) as stage:
        stage.world.faults.script = [Fault(platform="notion", **fault) for fault in faults]
        other = await stage.second()
        people = [f"user_{number}#0" for number in range(5)]
        for step in steps:
            await take_step(stage, other, people, *step)
        refusals = [fault for fault in stage.world.faults.script if fault.hits and fault.status in (400, 409)]
        stage.world.faults.calm()
        await stage.run()
        dead = [mark["id"] for mark in (await stage.marks()).values() if mark["status"] == "dead"]
        assert refusals or not dead
        await stage.database.write(outbox.retry, dead, stage.clock())
        await stage.run()
        await stage.agreed()
        assert {mark["status"] for mark in (await stage.marks()).values()} <= {"settled"}


async def take_step(stage: Stage, other: Stage, people: list[str], what: str, *how: Any) -> None:
    match what:
        case "say":
            await stage.say(people[how[0]], how[1])
        case "remove":
            name, _, life = people[how[0]].partition("#")
            await stage.remove(people[how[0]])
            people[how[0]] = f"{name}#{int(life) + 1}"
        case "deliver":
            await stage.round()
        case "deliver elsewhere":
            await asyncio.gather(stage.round(), other.round())
        case "deliver while":
            await asyncio.gather(stage.round(), stage.say(people[how[0]], how[1]))
        case "kill":
            work = await stage.take()
            delivering = [stage.loop.sink.deliver(stage.database, claim) for claim in work.claims]
            await asyncio.gather(*delivering, return_exceptions=True)
        case "skip":
            stage.clock.skip(how[0])
