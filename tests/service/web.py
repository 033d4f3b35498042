"""Rollcall as the platforms see it: the real application behind real signatures; what it did is read from its rows.

Nothing is sent: the relay and the retry loop stand still, so that marks stay to be looked at and a test drives time.
"""

import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from sqlalchemy import text

from db import postgres_writer
from service.app import Service, create_app
from service.relay import Relay
from service.sandbox.senders import PATHS, Platform, sign_clerk, sign_slack
from service.settings import Settings
from tests.transactions import transaction

Json = dict[str, Any]

FIXTURES = Path(__file__).parents[1] / "fixtures"
CLERK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
CLOSED_PORT = "http://127.0.0.1:9"
BOTH = {"clerk_webhook_signing_secret": CLERK_SECRET, "slack_signing_secret": SLACK_SECRET}
NUMBERS = itertools.count()
JSON = ("data", "payload", "value")  # columns
SINKS = {
    "notion_api_token": "ntn_sandbox",
    "notion_people_data_source_id": "0c0d52a1-93be-4f0e-a8d4-1f6b2c9e5d30",
    "notion_base_url": CLOSED_PORT,
    "slack_bot_token": "xoxb-sandbox",
    "slack_alert_channel": "C0ALERTS",
    "slack_base_url": CLOSED_PORT,
}


def fixture(name: str) -> Json:
    """A whole recorded payload: `clerk/user.created`, `slack/edge/forgotten`."""
    loaded: Json = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def to_body(message: Json | bytes) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False).encode()


def sign(
    platform: Platform, body: bytes, event_id: str = "msg_1", *, at: int | None = None, secret: str = ""
) -> dict[str, str]:
    sent_at = int(time.time()) if at is None else at
    if platform == "clerk":
        return sign_clerk(secret or CLERK_SECRET, event_id, sent_at, body)
    return sign_slack(secret or SLACK_SECRET, sent_at, body)


@dataclass(slots=True)
class Web:
    """One running service. `clerk` and `slack` send what the platform would; `rows` looks at what came of it."""

    client: httpx.AsyncClient
    service: Service
    url: str

    async def send(
        self,
        platform: Platform,
        body: Json | bytes,
        headers: Mapping[str, str] | Iterable[tuple[bytes, bytes]] | None = None,
        *,
        event_id: str | None = None,
    ) -> httpx.Response:
        """Signed, unless `headers` are given. Each send is a new message, unless `event_id` repeats one (Clerk)."""
        raw = to_body(body)
        if headers is None:
            headers = sign(platform, raw, event_id or f"msg_unnamed_{next(NUMBERS)}")
        items = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        return await self.client.post(PATHS[platform], content=raw, headers=[*items, *_json_type(items)])

    async def clerk(self, body: Json | bytes, event_id: str | None = None) -> str:
        """Accepted by us; returns what became of it."""
        return _accepted(await self.send("clerk", body, event_id=event_id))

    async def slack(self, body: Json | bytes) -> str:
        return _accepted(await self.send("slack", body))

    async def write(self, fn: Callable[..., Any], *args: Any) -> Any:
        return await self.service.database.write(fn, *args)

    def rows(self, sql: str, *values: Any) -> list[Json]:
        """`values` stand for the question marks of `sql`; JSON comes parsed."""
        parts = sql.split("?")
        named = parts[0] + "".join(f":v{number}{part}" for number, part in enumerate(parts[1:]))
        with transaction(self.url) as tx:
            found = tx.execute(text(named), {f"v{number}": value for number, value in enumerate(values)}).mappings()
            parse = json.loads if tx.dialect.name == "sqlite" else None  # psycopg has done it
            return [
                {
                    name: parse(value) if parse and name in JSON and isinstance(value, str) else value
                    for name, value in row.items()
                }
                for row in found
            ]

    def one(self, sql: str, *values: Any) -> Json:
        (row,) = self.rows(sql, *values)
        return row

    def people(self) -> list[Json]:
        return self.rows("SELECT * FROM users ORDER BY id")

    def person(self, clerk_id: str) -> Json:
        return self.one("SELECT * FROM users WHERE clerk_id = ?", clerk_id)

    def data(self, clerk_id: str) -> Json:
        """Everything in `user_data` about a person, by key."""
        found = self.rows(
            "SELECT key, value FROM user_data JOIN users ON users.id = user_id WHERE clerk_id = ?", clerk_id
        )
        return {row["key"]: row["value"] for row in found}

    def events(self) -> list[Json]:
        return self.rows("SELECT * FROM webhook_events ORDER BY id")

    def statuses(self) -> list[str]:
        return [event["status"] for event in self.events()]

    def identity(self, provider: str, external_id: str) -> Json:
        return self.one("SELECT * FROM identities WHERE provider = ? AND external_id = ?", provider, external_id)

    def marks(self, sink: str = "notion") -> dict[str, int]:
        """How often each key was marked for a sink; the user list's own mark aside."""
        found = self.rows("SELECT key, generation FROM sync_actions WHERE sink = ? AND key <> 'users'", sink)
        return {row["key"]: row["generation"] for row in found}

    def alerts(self) -> list[str]:
        found = self.rows("SELECT payload FROM sync_actions WHERE sink = 'slack' ORDER BY id")
        return [row["payload"]["text"] for row in found]


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Web]]


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def few_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes take turns on PostgreSQL's connections, and each is opened anew for each test: two will do."""
    monkeypatch.setattr(postgres_writer, "WRITERS", 2)


@pytest.fixture
def serve(database_url: str, no_environment: None, few_writers: None) -> Serve:
    """Starts the service on this test's database, with both platforms on unless settings say otherwise."""

    @contextlib.asynccontextmanager
    async def serving(**settings: Any) -> AsyncIterator[Web]:
        app = create_app(Settings(_env_file=None, database_url=database_url, **{**BOTH, **settings}))
        with patch.object(Relay, "start"):
            async with app.router.lifespan_context(app):
                service: Service = app.state.service
                for task in service._tasks:
                    task.cancel()
                transport = httpx.ASGITransport(app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://rollcall.test") as client:
                    yield Web(client, service, database_url)

    return serving


@pytest.fixture
async def web(serve: Serve) -> AsyncIterator[Web]:
    async with serve() as web:
        yield web


def _accepted(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["status"])


def _json_type(headers: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    as_bytes = headers and isinstance(headers[0][0], bytes)
    return [(b"content-type", b"application/json")] if as_bytes else [("content-type", "application/json")]
