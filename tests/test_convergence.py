"""Whatever the order, however often, and with whatever lost on the way and sent again: the end is the same.

ROLLCALL_EXAMPLES=5000 ROLLCALL_SEED=1 explores further than the suite does.
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pydantic_core import to_json
from sqlalchemy import Connection, Engine

from db import inbox
from db.database import BEGIN, place
from handlers.clerk.events import identity_of as clerk_identity
from handlers.clerk.payloads import User as ClerkUser
from handlers.notion.users import identity_of as notion_identity
from handlers.people.recording import version
from handlers.people.values import iso
from handlers.slack.events import identity_of as slack_identity
from handlers.slack.events import not_ours
from handlers.slack.payloads import User as SlackUser
from service.app import begin
from service.sandbox.story import Story, story
from tests import statements
from tests.databases import discard, new_database
from tests.statements import (
    ANN,
    BOB,
    CLERK,
    CONTEXT,
    CYD,
    NOW,
    SLACK,
    STREAM,
    Event,
    Json,
    Listed,
    Said,
    Withdrawn,
    clerk,
    deleted,
    notion,
    roster,
    session,
    slack,
)

EXAMPLES = int(os.environ.get("ROLLCALL_EXAMPLES", "60"))
SEED = os.environ.get("ROLLCALL_SEED")
ON_SQLITE = pytest.mark.sqlite_only("thousands of statements, each a round trip; test_concurrency.py has the crowd")


@pytest.fixture(scope="module")
def engine(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    url = new_database(tmp_path_factory.mktemp("convergence"), database_kind)
    engine = place(url).writer_engine(timeout_s=5.0)
    yield engine
    engine.dispose()
    discard(url)


@contextmanager
def undone(engine: Engine) -> Iterator[Connection]:
    """A transaction that leaves nothing behind."""
    with engine.connect() as tx:
        tx.exec_driver_sql(BEGIN[tx.dialect.name])
        try:
            yield tx
        finally:
            tx.exec_driver_sql("ROLLBACK")


def ending(engine: Engine, stream: Sequence[Said]) -> Json:
    """How a stream ends; no event failed or waits in vain, and people are what all identities together say."""
    with undone(engine) as tx:
        statements.hear(tx, stream)
        assert inbox.failed(tx) == 0
        assert statements.forgotten_events(tx) == []
        end = statements.told(tx)
        assert statements.standing(end) == statements.derived_anew(tx)
        return end


def explored(test: Callable[..., None]) -> Callable[..., None]:
    bounded = settings(
        max_examples=EXAMPLES,
        derandomize=SEED is None,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    return ON_SQLITE(bounded(seed(int(SEED))(test) if SEED else test))


@st.composite
def rearranged(draw: st.DrawFn, stream: Sequence[Said]) -> list[Said]:
    """The same statements in another order, some of them twice or more, some lost at first and sent at last."""
    order = list(draw(st.permutations(range(len(stream)))))
    for number in draw(st.lists(st.sampled_from(order), max_size=8)):
        order.insert(draw(st.integers(0, len(order))), number)
    lost = set(draw(st.lists(st.sampled_from(order), max_size=4)))
    return [stream[n] for n in (*(n for n in order if n not in lost), *(n for n in order if n in lost))]


@explored
@given(stream=rearranged(STREAM))
def test_every_rearrangement_ends_the_same(engine: Engine, stream: list[Said]) -> None:
    assert ending(engine, stream) == as_it_should(engine)


@functools.cache
def as_it_should(engine: Engine) -> Json:
    """How the stream ends in the order in which it is written down."""
    return ending(engine, STREAM)


def test_the_stream_ends_as_it_should(engine: Engine) -> None:
    """So that "the same" is also right."""
    people = as_it_should(engine)["people"]
    shown = {who: (row.email, row.slack_user_id, row.notion_person_id, row.status) for who, (row, *_) in people.items()}
    assert shown == {
        "ann": (BOB, None, "n_ann", "active"),
        "bob": (ANN, "U_two", "n_two", "active"),
        "eve": (None, None, None, "active"),
        "cyd_again": (CYD, None, None, "active"),
        "gil": (None, None, None, "active"),
        "dan@example.com": ("dan@example.com", "U_dan", "n_dan", "active"),
        "only@example.com": ("only@example.com", "U_only", None, "inactive"),
    }
    assert {who: rotations for who, (_, _, rotations, _) in people.items() if rotations} == {
        "bob": ["AM"],
        "dan@example.com": ["AM"],
        "only@example.com": ["AM"],
    }
    assert {who: data["session_count"] for who, (_, data, *_) in people.items() if "session_count" in data} == {
        "ann": 2,
        "cyd_again": 1,
    }
    assert {who for who, (row, *_) in people.items() if row.role == "admin"} == {"bob", "gil"}


# --- any stream at all, in a world so small that everything collides ---

ACCOUNTS, MEMBERS = st.sampled_from(["ann", "bob", "cyd"]), st.sampled_from(["U1", "U2"])
ADDRESSES = st.sampled_from([ANN, BOB, CYD])
MOMENTS = st.integers(0, 4)
IDS = st.just("")
STATEMENTS = st.one_of(
    st.builds(
        clerk,
        IDS,
        ACCOUNTS,
        ADDRESSES | st.none(),
        MOMENTS,
        MOMENTS,
        verified=st.booleans(),
        first_name=st.sampled_from(["Ann", None]),
        banned=st.booleans(),
    ),
    st.builds(clerk, IDS, ACCOUNTS, ADDRESSES, MOMENTS),
    st.builds(deleted, IDS, ACCOUNTS),
    st.builds(session, IDS, ACCOUNTS, MOMENTS, st.sampled_from(["created", "ended"])),
    st.builds(
        slack,
        IDS,
        MEMBERS,
        ADDRESSES | st.none(),
        MOMENTS,
        confirmed=st.sampled_from([True, True, False, None]),
        deleted=st.booleans(),
        is_forgotten=st.sampled_from([False] * 9 + [True]),
        tz=st.sampled_from(["Europe/Oslo", None]),
    ),
    st.builds(roster, ADDRESSES, st.sampled_from(["AM", "PM"]), at=MOMENTS, name=st.sampled_from(["Ros", None])),
    st.builds(notion, st.sampled_from(["n1", "n2"]), ADDRESSES | st.none(), MOMENTS),
)


@st.composite
def stream_and_rearrangement(draw: st.DrawFn) -> tuple[list[Said], list[Said]]:
    said = draw(st.lists(STATEMENTS, min_size=1, max_size=14))
    stream = [_numbered(one, number) for number, one in enumerate(said)]
    return stream, draw(rearranged(stream))


def _numbered(said: Said, number: int) -> Said:
    if isinstance(said, Listed):
        return said
    return replace(
        said, event_id=f"m{number}", body=said.body.replace(b'"event_id": ""', b'"event_id": "m%d"' % number)
    )


@explored
@given(streams=stream_and_rearrangement())
def test_any_stream_ends_the_same_in_another_order(engine: Engine, streams: tuple[list[Said], list[Said]]) -> None:
    stream, other = streams
    assert ending(engine, other) == ending(engine, stream)


WITHDRAWN = st.builds(
    Withdrawn,
    st.tuples(st.just("roster"), ADDRESSES) | st.tuples(st.just("notion"), st.sampled_from(["n1", "n2"])),
)


@explored
@given(stream=st.lists(STATEMENTS | WITHDRAWN, min_size=1, max_size=14), admins=st.frozensets(ADDRESSES))
def test_after_every_step_people_are_what_all_identities_say(
    engine: Engine, stream: list[Said | Withdrawn], admins: frozenset[str]
) -> None:
    with undone(engine) as tx:
        for number, one in enumerate(stream):
            statements.hear(tx, [one if isinstance(one, Withdrawn) else _numbered(one, number)])
            assert statements.standing(statements.told(tx)) == statements.derived_anew(tx)
        restarted = replace(CONTEXT, admin_emails=admins, sinks=frozenset())
        begin(tx, restarted, (), NOW)
        assert statements.standing(statements.told(tx)) == statements.derived_anew(tx, restarted)


# --- a whole day with an oracle that knows none of our code ---


@pytest.mark.parametrize("number", range(max(6, EXAMPLES // 10)))
def test_a_days_story_ends_as_its_oracle_says(engine: Engine, number: int) -> None:
    day = story(number, now_ms=NOW, people=30 if number % 3 else 60, newcomers=9)
    stream = _imported(day) + _delivered(day)
    if number:
        Random(number).shuffle(stream)
    with undone(engine) as tx:
        statements.hear(tx, stream)
        assert inbox.failed(tx) == 0
        assert statements.forgotten_events(tx) == []
        end = statements.told(tx)["people"]
    assert [_as_expected(end[one.clerk_id]) for one in day.expected] == [_fields(one) for one in day.expected]
    assert set(end) == {one.clerk_id for one in day.expected}
    assert day.deleted_clerk_ids.isdisjoint(end)
    assert day.unlinked_slack_ids.isdisjoint({row.slack_user_id for row, *_ in end.values()})


def _delivered(day: Story) -> list[Said]:
    sources = {"clerk": CLERK, "slack": SLACK}
    return [Event(sources[one.platform], one.event_id, one.body) for one in day.deliveries if not one.forged]


def _imported(day: Story) -> list[Said]:
    """The lists as the importers record them; Notion's carries no time, so the time it was read stands for it."""
    accounts = [clerk_identity(ClerkUser.model_validate(raw), sent_at=0, body=to_json(raw)) for raw in day.clerk_users]
    members = [
        slack_identity(user, sent_at=0, body=to_json(raw))
        for raw in day.slack_users
        if not not_ours(user := SlackUser.model_validate(raw), day.team_id, None)
    ]
    guests = [
        replace(found, version=version(NOW, 0, found.external_id.encode()))
        for raw in day.notion_users
        if (found := notion_identity(raw))
    ]
    return [Listed(identity) for identity in (*accounts, *members, *guests)]


def _fields(expected: Any) -> Json:
    names = ("email", "name", "first_name", "last_name", "slack_user_id", "notion_person_id", "status", "role")
    values = ("signup_source", "feature_flags", "preferences", "onboarding_status", "session_count")
    return {
        **{name: getattr(expected, name) for name in (*names, *values)},
        "signup_date": iso(expected.created_at_ms),
    }


def _as_expected(end: tuple[Any, Json, list[str], Json]) -> Json:
    row, data, _rotations, page = end
    assert (page["Name"], page["Status"], page["E-mail"]) == (row.name, row.status, row.email)
    names = ("email", "name", "first_name", "last_name", "slack_user_id", "notion_person_id", "status", "role")
    values = ("signup_source", "feature_flags", "preferences", "onboarding_status", "signup_date")
    return {
        **{name: getattr(row, name) for name in names},
        **{name: data.get(name) for name in values},
        "session_count": data.get("session_count", 0),
    }
