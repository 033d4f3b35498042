"""Reconcile: what drifted is found, named and repaired, and nothing else is touched (S2.4, S2.6, S2.10)."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from db import copies, outbox
from db.sync import Known
from handlers import patience
from handlers.clerk.events import identity_of
from handlers.clerk.payloads import User
from handlers.notion import reconcile
from handlers.notion.comparing import DIFFERENT, DUPLICATE, MISSING, ORPHAN, UNKNOWN, Comparison, Drift, Found, diff
from handlers.notion.reconcile import OUR_KEY
from handlers.notion.table import KEY
from handlers.people.recording import record
from handlers.registry import SinkDown, Unauthorized
from service.relay import Relay
from service.sandbox.people import clerk_user, notion_user, personas
from tests.stage import CONTEXT, Stage, staged

PAGE = {"Name": "Ada", "Role": "member"}
OTHER = {"Name": "Bob", "Role": "member"}
ONE, TWO = "person:1", "person:2"

# -- the comparison, without anything around it --

CASES: dict[str, tuple[dict[str, Any], list[Found], dict[str, Known], list[Drift]]] = {
    "nothing and nothing": ({}, [], {}, []),
    "the same": ({ONE: PAGE}, [Found("a", ONE, PAGE)], {}, []),
    "missing": ({ONE: PAGE, TWO: OTHER}, [Found("a", ONE, PAGE)], {}, [Drift(MISSING, TWO)]),
    "different": (
        {ONE: PAGE},
        [Found("a", ONE, {"Name": "Eve", "Role": None})],
        {},
        [Drift(DIFFERENT, ONE, "a", (("Name", "Ada", "Eve"), ("Role", "member", None)))],
    ),
    "more columns are theirs": ({ONE: PAGE}, [Found("a", ONE, {**PAGE, "Hobby": "x"})], {}, []),
    "orphan": ({ONE: PAGE}, [Found("a", ONE, PAGE), Found("b", TWO, OTHER)], {}, [Drift(ORPHAN, TWO, "b")]),
    "not ours": ({ONE: PAGE}, [Found("a", ONE, PAGE), Found("b", None, OTHER)], {}, [Drift(UNKNOWN, None, "b")]),
    "a key that is none of ours": (
        {},
        [Found("a", "users", {}), Found("b", "person:x", {}), Found("c", "page:c", {}), Found("d", "person:01", {})],
        {},
        [Drift(UNKNOWN, None, page_id) for page_id in "abcd"],
    ),
    "of duplicates the oldest stays": (
        {ONE: PAGE},
        [Found("old", ONE, PAGE), Found("mid", ONE, PAGE), Found("new", ONE, PAGE)],
        {},
        [Drift(DUPLICATE, ONE, "mid"), Drift(DUPLICATE, ONE, "new")],
    ),
    "unless another is the one we know": (
        {ONE: PAGE},
        [Found("old", ONE, PAGE), Found("known", ONE, PAGE), Found("new", ONE, PAGE)],
        {ONE: Known("known")},
        [Drift(DUPLICATE, ONE, "old"), Drift(DUPLICATE, ONE, "new")],
    ),
    "the one that stays is compared": (
        {ONE: PAGE},
        [Found("old", ONE, PAGE), Found("known", ONE, {**PAGE, "Name": "Eve"})],
        {ONE: Known("known")},
        [Drift(DUPLICATE, ONE, "old"), Drift(DIFFERENT, ONE, "known", (("Name", "Ada", "Eve"),))],
    ),
    "duplicates of nobody": (
        {},
        [Found("old", ONE, PAGE), Found("new", ONE, PAGE)],
        {},
        [Drift(DUPLICATE, ONE, "new"), Drift(ORPHAN, ONE, "old")],
    ),
    "a page we know whose key was wiped out": (
        {ONE: PAGE},
        [Found("a", None, PAGE)],
        {ONE: Known("a")},
        [Drift(DIFFERENT, ONE, "a", ((KEY, ONE, None),))],
    ),
    "a page we know whose key was changed into another's": (
        {ONE: PAGE, TWO: OTHER},
        [Found("a", TWO, PAGE), Found("b", TWO, OTHER)],
        {ONE: Known("a"), TWO: Known("b")},
        [Drift(DIFFERENT, ONE, "a", ((KEY, ONE, TWO),))],
    ),
    "a surplus page on its way to the trash": (
        {ONE: PAGE},
        [Found("a", ONE, PAGE), Found("b", ONE, PAGE)],
        {ONE: Known("a"), "page:b": Known("b")},
        [Drift(DUPLICATE, ONE, "b")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_difference_is(case: str) -> None:
    wanted, found, known, drifts = CASES[case]
    assert diff(wanted, found, known, OUR_KEY.fullmatch) == drifts


@pytest.mark.parametrize(
    ("drifts", "share"),
    [
        ([], 1.0),
        ([Drift(MISSING, ONE), Drift(DIFFERENT, TWO, "b")], 0.5),
        ([Drift(DUPLICATE, ONE, "a"), Drift(DUPLICATE, ONE, "b")], 0.75),
        ([Drift(ORPHAN, "person:9", "x"), Drift(UNKNOWN, None, "y")], 1.0),
    ],
)
def test_agreement_is_the_share_of_people_whose_one_page_is_right(drifts: list[Drift], share: float) -> None:
    assert Comparison(4, 4, drifts).agreement == share
    assert Comparison(0, 0).agreement == 1.0


# -- with a Notion --


@pytest.fixture
async def stage(tmp_path: Path, database_kind: str) -> AsyncIterator[Stage]:
    async with staged(tmp_path, database_kind) as stage:
        yield stage


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited for, s; nobody really waits."""
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(patience, "pause", pause)
    return waited


@pytest.fixture
async def three(stage: Stage) -> Stage:
    """Ada, Bob and Cy, each with their page, made in this order."""
    for name in ("Ada", "Bob", "Cy"):
        await stage.say(f"user_{name.lower()}", name)
        await stage.run()
    await stage.agreed()
    stage.world.requests.clear()
    return stage


async def compare(stage: Stage) -> Comparison:
    return await reconcile.compare(stage.database, stage.loop.sink._api, stage.data_source_id, CONTEXT)  # type: ignore[attr-defined]


async def look(stage: Stage) -> Comparison:
    """Compare and mark; deliver nothing."""
    api = stage.loop.sink._api  # type: ignore[attr-defined]
    return await reconcile.reconcile(stage.database, api, stage.data_source_id, CONTEXT, stage.clock)


async def repair(stage: Stage) -> list[tuple[str, str | None]]:
    """All that `rollcall notion reconcile` does; what it found."""
    found = await look(stage)
    await stage.run()
    assert (await compare(stage)).disagreements == []
    return [(drift.kind, drift.key) for drift in found.drifts]


def page_of(stage: Stage, key: str) -> str:
    found = [
        page["id"]
        for page in stage.world.notion.pages_of(stage.data_source_id)
        if page["properties"][KEY]["rich_text"][0]["plain_text"] == key
    ]
    assert len(found) == 1
    return str(found[0])


def rich(value: str) -> dict[str, Any]:
    return {"rich_text": [{"text": {"content": value}}] if value else []}


def titled(value: str) -> dict[str, Any]:
    return {"title": [{"text": {"content": value}}]}


def forget(tx: Connection) -> None:
    """What an older copy of the file does not have."""
    tx.execute(text("DELETE FROM sync_status WHERE sink = 'notion'"))


async def test_an_unchanged_directory_of_250_is_read_in_three_queries_and_not_written(stage: Stage) -> None:
    cast = personas(random.Random(2), 250, now_ms=1_790_000_000_000)

    def everybody(tx: Connection) -> None:
        for one in cast:
            said = identity_of(User.model_validate(clerk_user(one)), sent_at=0, body=b"")
            record(tx, said, CONTEXT, stage.clock())

    await stage.database.write(everybody)
    for one in cast[:120]:
        stage.world.notion.add_user(notion_user(one))
    await look(stage)
    await stage.run(500)
    await stage.agreed()
    stage.world.requests.clear()
    compared = await look(stage)
    assert (compared.records, compared.pages, compared.drifts, compared.unsettled) == (250, 250, [], 0)
    assert compared.agreement == 1.0
    requests = stage.world.requests.to("notion")
    assert requests.writes("notion") == []
    assert len(requests.to("notion", "POST")) == 3
    assert {request.path for request in requests.to("notion", "GET")} == {"/v1/users"}
    assert len(requests) == 3 + 2  # 121 users with the bot, 100 a page
    assert (await stage.take()).claims == []


async def test_edits_by_hand_are_repaired_and_only_those(three: Stage) -> None:
    ada, bob = await three.key("user_ada"), await three.key("user_bob")
    edits = {"Name": titled("Eve"), "Role": {"select": {"name": "admin"}}, "Slack id": rich("U1")}
    three.world.notion.edit(page_of(three, ada), edits)
    three.world.notion.edit(page_of(three, bob), {"E-mail": {"email": None}})
    found = await look(three)
    assert [(drift.key, [name for name, _, _ in drift.properties]) for drift in found.drifts] == [
        (ada, ["Name", "Role", "Slack id"]),
        (bob, ["E-mail"]),
    ]
    assert found.agreement == pytest.approx(1 / 3)
    await three.run()
    await three.agreed()
    assert len(three.world.requests.writes("notion")) == 2


async def test_columns_of_others_are_left_alone(three: Stage) -> None:
    await three.loop.sink._api.add_properties(three.data_source_id, {"Hobby": {"rich_text": {}}})  # type: ignore[attr-defined]
    ada = await three.key("user_ada")
    three.world.notion.edit(page_of(three, ada), {"Hobby": rich("chess"), "Name": titled("Eve")})
    assert await repair(three) == [(DIFFERENT, ada)]
    assert next((row["Name"], row["Hobby"]) for row in three.pages()) == ("Ada Byron", "chess")


async def test_a_page_trashed_by_hand_is_made_again(three: Stage) -> None:
    ada = await three.key("user_ada")
    three.world.notion.edit(page_of(three, ada), in_trash=True)
    assert await repair(three) == [(MISSING, ada)]
    await three.agreed()


async def test_a_page_whose_key_was_wiped_out_is_still_that_persons(three: Stage) -> None:
    ada = await three.key("user_ada")
    page = page_of(three, ada)
    three.world.notion.edit(page, {KEY: rich("")})
    assert await repair(three) == [(DIFFERENT, ada)]
    assert page_of(three, ada) == page
    await three.agreed()


async def test_orphans_and_duplicates_go_to_the_trash(three: Stage) -> None:
    ada = await three.key("user_ada")
    kept = page_of(three, ada)
    three.world.notion.add_row(three.data_source_id, {"Name": titled("Gone"), KEY: rich("person:99")})
    three.world.notion.add_row(three.data_source_id, {"Name": titled("Ada Byron"), KEY: rich(ada)})
    assert sorted(await repair(three)) == [(DUPLICATE, ada), (ORPHAN, "person:99")]
    await three.agreed()
    assert page_of(three, ada) == kept
    assert sorted(row["Name"] for row in three.pages(trashed=True)) == ["Ada Byron", "Gone"]
    assert all(mark["status"] == "settled" for mark in (await three.marks()).values())
    assert await three.alerts() == []


@pytest.mark.parametrize("key", ["", "users", "person:x", "todo"])
async def test_a_row_without_a_key_of_ours_is_reported_and_left_alone(three: Stage, key: str) -> None:
    row = three.world.notion.add_row(three.data_source_id, {"Name": titled("Lunch list"), KEY: rich(key)})
    found = await look(three)
    assert found.drifts == [Drift(UNKNOWN, None, row)]
    assert (found.disagreements, found.agreement) == ([], 1.0)
    await three.run()
    assert three.world.requests.writes("notion") == []
    assert "Lunch list" in [one["Name"] for one in three.pages()]


async def test_after_an_older_file_was_restored_pages_are_adopted_and_not_made_twice(three: Stage) -> None:
    await three.database.write(forget)
    ada = await three.key("user_ada")
    three.world.notion.edit(page_of(three, ada), {"Name": titled("Eve")})
    assert await repair(three) == [(DIFFERENT, ada)]
    await three.agreed()
    assert three.creates == 0
    three.world.requests.clear()
    await three.say("user_bob", "Robert")
    await three.run()
    await three.agreed()
    assert (three.creates, three.updates) == (0, 1)


async def test_what_was_on_its_way_when_the_copy_was_made_is_not_made_twice(three: Stage) -> None:
    """One run is enough: the page made since is found, not found to be a duplicate by the next run."""
    ada = await three.key("user_ada")

    def older(tx: Connection) -> None:
        tx.execute(text("DELETE FROM sync_status WHERE key = :key"), {"key": ada})
        outbox.mark(tx, 1, ("notion",), ada, three.clock())
        copies.distrust(tx, three.clock())

    await three.database.write(older)
    await repair(three)
    assert three.creates == 0
    await three.agreed()


async def test_what_an_older_file_never_knew_is_an_orphan(three: Stage) -> None:
    cy = await three.key("user_cy")

    def lose(tx: Connection) -> None:
        forget(tx)
        tx.execute(text("DELETE FROM users WHERE clerk_id = 'user_cy'"))
        tx.execute(text("DELETE FROM sync_actions WHERE key = :key"), {"key": cy})

    await three.database.write(lose)
    assert await repair(three) == [(ORPHAN, cy)]
    await three.agreed()


async def test_a_dead_mark_is_given_another_life(three: Stage) -> None:
    three.world.faults.add(platform="notion", method="PATCH", status=400, times=None)
    await three.say("user_ada", "Augusta")
    await three.run()
    ada = await three.key("user_ada")
    assert (await three.marks())[ada]["status"] == "dead"
    three.world.faults.calm()
    assert await repair(three) == [(DIFFERENT, ada)]
    await three.agreed()


async def test_who_has_no_notion_user_shows_as_their_address(three: Stage) -> None:
    ada = next(one for one in personas(random.Random(2), 1, now_ms=1) if one.email)
    three.world.notion.add_user({**notion_user(ada), "person": {"email": "user_ada@example.com"}})
    await repair(three)
    shown = {row["Name"]: (row["E-mail"], row["Person"]) for row in three.pages()}
    assert shown["Ada Byron"] == ("user_ada@example.com", [ada.notion_id])
    assert shown["Bob Byron"] == ("user_bob@example.com", [])


async def test_who_may_not_read_users_can_reconcile_all_the_same(three: Stage, waits: list[float]) -> None:
    three.world.notion.capabilities.read_users = False
    ada = await three.key("user_ada")
    three.world.notion.edit(page_of(three, ada), {"Name": titled("Eve")})
    with capture_logs() as logs:
        assert await repair(three) == [(DIFFERENT, ada)]
    assert "notion_users_unreadable" in [line["event"] for line in logs]
    assert waits == []


# -- beside others --


async def test_what_is_on_its_way_is_neither_agreement_nor_drift(three: Stage) -> None:
    ada = await three.key("user_ada")
    await three.say("user_ada", "Augusta")
    held = await three.take()
    await three.say("user_dee", "Dee")
    found = await compare(three)
    assert (found.drifts, found.unsettled) == ([], 2)
    await three.deliver(held)
    await three.run()
    assert (await compare(three)).drifts == []
    assert (await three.marks())[ada]["status"] == "settled"


async def test_what_changes_while_we_look_is_left_to_its_own_mark(
    three: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ada was renamed, delivered and settled between our two looks at the database."""
    api = three.loop.sink._api  # type: ignore[attr-defined]
    pages = api.pages

    async def slow(*args: Any) -> Any:
        found = await pages(*args)
        monkeypatch.setattr(api, "pages", pages)
        await three.say("user_ada", "Augusta")
        await three.remove("user_bob")
        await three.run()
        return found

    monkeypatch.setattr(api, "pages", slow)
    found = await look(three)
    assert (found.drifts, found.unsettled) == ([], 2)
    three.world.requests.clear()
    await three.run()
    assert three.world.requests.writes("notion") == []
    await three.agreed()


async def test_beside_a_live_relay_and_a_stream_of_changes_nothing_is_ever_repaired_wrongly(stage: Stage) -> None:
    for number in range(20):
        await stage.say(f"user_{number}", "Ada")
    await stage.run()
    looks: list[Comparison] = []
    over = asyncio.Event()

    async def change() -> None:
        rng = random.Random(11)
        for number in range(120):
            who = f"user_{rng.randrange(30)}"
            await (stage.remove(who) if rng.random() < 0.1 else stage.say(who, f"Ada{number}"))
            await asyncio.sleep(0.005)
        over.set()

    async def reconciles() -> None:
        while not over.is_set():
            looks.append(await look(stage))

    relay = Relay(stage.database, [stage.loop.sink], CONTEXT, stage.clock)
    relay.start()
    await asyncio.gather(change(), reconciles(), reconciles())
    for loop in relay.loops:
        loop.stopping = True
        loop.wake.set()
    await asyncio.gather(*relay._tasks)
    await asyncio.gather(*(loop.finish(10.0) for loop in relay.loops))
    await stage.run()
    assert len(looks) > 2
    assert [drift for one in looks for drift in one.drifts] == []
    await stage.agreed()
    assert {mark["status"] for mark in (await stage.marks()).values()} == {"settled"}


async def test_two_reconciles_at_once_repair_once(three: Stage) -> None:
    ada = await three.key("user_ada")
    three.world.notion.add_row(three.data_source_id, {"Name": titled("Ada Byron"), KEY: rich(ada)})
    three.world.notion.edit(page_of(three, await three.key("user_bob")), in_trash=True)
    other = await three.second()
    await asyncio.gather(look(three), look(other))
    await asyncio.gather(three.run(), other.run())
    await three.agreed()
    assert three.creates == 1


# -- when Notion fails --


async def test_a_notion_that_fails_while_we_read_is_waited_for(three: Stage, waits: list[float]) -> None:
    three.world.faults.add(platform="notion", path_prefix="/v1/users", status=429, retry_after=8)
    three.world.faults.add(platform="notion", path_prefix="/v1/data_sources", status=503)
    assert (await look(three)).drifts == []
    assert waits == [8.0, 1.0]


async def test_a_notion_that_stays_away_changes_nothing(three: Stage, waits: list[float]) -> None:
    three.world.notion.edit(page_of(three, await three.key("user_ada")), in_trash=True)
    before = await three.marks()
    three.world.faults.add(platform="notion", path_prefix="/v1/data_sources", kind="drop", times=None)
    with pytest.raises(SinkDown):
        await look(three)
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert await three.marks() == before
    three.world.faults.calm()
    await repair(three)
    await three.agreed()


async def test_a_wrong_token_is_said_at_once(three: Stage, waits: list[float]) -> None:
    three.world.notion.token = "ntn_another"
    with pytest.raises(Unauthorized, match="401"):
        await look(three)
    assert waits == []


LOST = ({"status": 503, "committed": True}, {"kind": "drop", "committed": True}, {"status": 409})


@pytest.mark.parametrize("how", LOST)
async def test_repairs_that_fail_halfway_are_finished_later_and_nothing_is_made_twice(
    three: Stage, how: dict[str, Any]
) -> None:
    for who in ("user_ada", "user_bob"):
        three.world.notion.edit(page_of(three, await three.key(who)), in_trash=True)
    three.world.faults.add(platform="notion", method="POST", path_prefix="/v1/pages", times=2, **how)
    assert len(await repair(three)) == 2
    await three.agreed()
