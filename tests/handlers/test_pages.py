"""One page made what the database says: the table of steps, and what is committed before which request."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db import outbox, sync
from db.database import Database
from db.outbox import Claim
from db.sync import Known
from handlers.pages import Page, PageDelivery, digest, next_step
from handlers.registry import Gone, Refused, SinkDown, Throttled

ADA: Page = {"Name": "Ada", "E-mail": None}
NOW = 1_790_000_000_000


@pytest.mark.parametrize(
    ("wanted", "known", "step"),
    [
        (None, Known(), "nothing"),
        (None, Known("page"), "trash"),
        (None, Known("page", "a"), "trash"),
        (None, Known(creating_since=1), "find"),
        ("a", Known(), "create"),
        ("a", Known(creating_since=1), "find"),
        ("a", Known("page"), "update"),
        ("a", Known("page", "a"), "nothing"),
        ("a", Known("page", "b"), "update"),
    ],
)
def test_each_row_of_the_table_is_what_happens(wanted: str | None, known: Known, step: str) -> None:
    assert next_step(wanted, known) == step


def test_nothing_is_done_only_when_both_sides_agree() -> None:
    every = product((None, "a"), (None, "page"), (None, "a", "b"), (None, 1))
    idle = [
        (wanted, remote, held, since)
        for wanted, remote, held, since in every
        if next_step(wanted, Known(remote, held, since)) == "nothing"
    ]
    for wanted, remote, held, since in idle:
        assert (wanted is None and remote is None and since is None) or (remote and held == wanted)


@given(st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=5)), st.randoms())
def test_a_digest_knows_no_order(page: dict[str, str | None], random: st.DrawFn) -> None:
    items = list(page.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert digest(dict(items)) == digest(page)


@given(*[st.dictionaries(st.sampled_from("ab"), st.none() | st.text(max_size=2))] * 2)
def test_pages_that_show_something_else_have_another_digest(
    one: dict[str, str | None], other: dict[str, str | None]
) -> None:
    assert (digest(one) == digest(other)) == (one == other)


@dataclass
class Remote:
    """Pages in memory. `fails`: what the next call of that name raises; `seen`: what was known at each request."""

    stage: "Delivery"
    pages: dict[str, str] = field(default_factory=dict)  # page id -> key
    fails: dict[str, Exception] = field(default_factory=dict)
    seen: list[tuple[str, Known]] = field(default_factory=list)

    async def _note(self, call: str) -> None:
        self.seen.append((call, await self.stage.known()))
        if call in self.fails:
            raise self.fails.pop(call)

    async def find(self, key: str) -> list[str]:
        await self._note("find")
        return [page for page, held in self.pages.items() if held == key]

    async def create(self, key: str, page: Page) -> str:  # noqa: ARG002 - the Remote protocol
        await self._note("create")
        self.pages[f"page-{len(self.seen)}"] = key
        return f"page-{len(self.seen)}"

    async def update(self, remote_id: str, key: str, page: Page) -> None:  # noqa: ARG002 - as above
        await self._note("update")
        if remote_id not in self.pages:
            raise Gone(remote_id)

    async def trash(self, remote_id: str) -> None:
        await self._note("trash")
        if self.pages.pop(remote_id, None) is None:
            raise Gone(remote_id)

    @property
    def calls(self) -> list[str]:
        return [call for call, _ in self.seen]


@dataclass
class Delivery:
    """One key's delivery against an in-memory remote."""

    database: Database
    wanted: Page | None = None
    remote: Remote = field(init=False)
    claim: Claim = field(init=False)

    def __post_init__(self) -> None:
        self.remote = Remote(self)

    async def known(self) -> Known:
        return await self.database.read(sync.known, 1, "notion", "key")

    async def remember(self, known: Known) -> None:
        await self.database.write(sync.remember, 1, "notion", "key", known, NOW)

    async def claim_it(self) -> None:
        await self.database.write(outbox.mark, 1, ("notion",), "key", NOW)
        (self.claim,) = await self.database.write(outbox.claim, "notion", "token", NOW, 1)

    async def run(self) -> str:
        done = await PageDelivery(
            self.database, self.claim, self.remote, lambda _tx, _key: self.wanted, lambda: NOW
        ).run()
        assert done.known is not None
        await self.remember(done.known)
        return done.operation


@pytest.fixture
async def delivery(database_url: str) -> AsyncIterator[Delivery]:
    async with Database(database_url) as database:
        delivery = Delivery(database)
        await delivery.claim_it()
        yield delivery


async def test_that_a_create_may_be_under_way_is_known_before_it_is_sent(delivery: Delivery) -> None:
    delivery.wanted = ADA
    assert await delivery.run() == "create"
    assert delivery.remote.seen == [("create", Known(creating_since=NOW))]
    assert await delivery.known() == Known("page-1", digest(ADA))


async def test_what_a_page_shows_is_in_doubt_before_an_update_is_sent(delivery: Delivery) -> None:
    delivery.wanted, delivery.remote.pages = ADA, {"page": "key"}
    await delivery.remember(Known("page", "old"))
    assert await delivery.run() == "update"
    assert delivery.remote.seen == [("update", Known("page"))]


async def test_whether_a_page_is_there_is_in_doubt_before_it_is_trashed(delivery: Delivery) -> None:
    delivery.remote.pages = {"page": "key"}
    await delivery.remember(Known("page", digest(ADA)))
    assert await delivery.run() == "trash"
    assert delivery.remote.seen == [("trash", Known("page"))]
    assert await delivery.known() == Known()


async def test_a_page_that_cannot_be_seen_is_looked_for_before_it_is_believed_to_be_gone(delivery: Delivery) -> None:
    """Notion says 404 of a page that is only hidden from us, too."""
    delivery.remote.pages = {"page": "key"}
    await delivery.remember(Known("page", digest(ADA)))
    delivery.remote.fails = {"trash": Gone("page"), "find": SinkDown("not shared")}
    with pytest.raises(SinkDown):
        await delivery.run()
    assert await delivery.run() == "find+trash"
    assert delivery.remote.pages == {}


async def test_a_page_that_somebody_removed_is_gone(delivery: Delivery) -> None:
    await delivery.remember(Known("page", digest(ADA)))
    assert await delivery.run() == "trash+find"
    assert await delivery.known() == Known()


@pytest.mark.parametrize("failure", [SinkDown("x"), Throttled("x", 1), Refused("x"), TimeoutError()])
async def test_a_create_that_failed_is_looked_for_before_another_is_sent(
    delivery: Delivery, failure: Exception
) -> None:
    delivery.wanted, delivery.remote.fails = ADA, {"create": failure}
    with pytest.raises(type(failure)):
        await delivery.run()
    delivery.remote.pages["page-0"] = "key"  # it was made all the same
    assert await delivery.run() == "find+update"
    assert list(delivery.remote.pages) == ["page-0"]


async def test_a_create_in_doubt_that_left_nothing_is_sent_again(delivery: Delivery) -> None:
    delivery.wanted = ADA
    await delivery.remember(Known(creating_since=1))
    assert await delivery.run() == "find+create"


@pytest.mark.parametrize("failure", [SinkDown("x"), Throttled("x", 1), Refused("x")])
async def test_an_update_that_failed_is_sent_again_even_if_it_was_taken_back(
    delivery: Delivery, failure: Exception
) -> None:
    delivery.wanted, delivery.remote.pages = ADA, {"page": "key"}
    delivery.remote.fails = {"update": failure}
    await delivery.remember(Known("page", digest({})))
    with pytest.raises(type(failure)):
        await delivery.run()
    delivery.wanted = {}
    assert await delivery.run() == "update"


async def test_surplus_pages_are_trashed_and_the_oldest_is_written(delivery: Delivery) -> None:
    delivery.wanted, delivery.remote.pages = ADA, {"old": "key", "new": "key", "newer": "key", "other": "yek"}
    await delivery.remember(Known(creating_since=1))
    await delivery.run()
    assert delivery.remote.calls == ["find", "trash", "trash", "update"]
    assert list(delivery.remote.pages) == ["old", "other"]


async def test_a_page_that_is_gone_is_looked_for_and_made_again(delivery: Delivery) -> None:
    delivery.wanted = ADA
    await delivery.remember(Known("gone", "old"))
    assert await delivery.run() == "update+find+create"
    assert [known for _, known in delivery.remote.seen[1:]] == [Known(creating_since=NOW)] * 2


async def test_a_remote_that_never_agrees_is_given_up(delivery: Delivery) -> None:
    delivery.wanted = ADA

    async def gone(remote_id: str, key: str, page: Page) -> None:
        raise Gone(remote_id)

    async def find(key: str) -> list[str]:
        return ["ghost"]

    delivery.remote.update, delivery.remote.find = gone, find  # type: ignore[method-assign]
    await delivery.remember(Known("ghost"))
    with pytest.raises(Refused, match="no end after"):
        await delivery.run()


@pytest.mark.parametrize(
    ("wanted", "known"),
    [(ADA, Known()), (ADA, Known("page", "old")), (None, Known("page", "old"))],
    ids=["create", "update", "trash"],
)
async def test_nothing_is_sent_under_a_lease_that_somebody_else_took(
    delivery: Delivery, wanted: Page | None, known: Known
) -> None:
    delivery.wanted, delivery.remote.pages = wanted, {"page": "key"}
    await delivery.remember(known)
    await delivery.database.write(outbox.claim, "notion", "other", NOW + outbox.LEASE_MS, 1)
    with pytest.raises(Throttled):
        await delivery.run()
    assert delivery.remote.calls == []
    assert await delivery.known() == known
