"""The servers Rollcall is measured against, and the Notion it delivers to meanwhile.

Each is one process under uvicorn with the flags of `rollcall serve`: uvloop, httptools, no access log.
"""

import argparse
import asyncio
import itertools
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

import uvicorn
from load import HOST, ROUTE, SECRET
from sqlalchemy import JSON, DateTime, ForeignKey, UniqueConstraint, event
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from svix.webhooks import Webhook, WebhookVerificationError

Answer = dict[str, Any]


async def healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def empty() -> Starlette:
    """What HTTP alone costs: the body is read, nothing is done with it."""

    async def receive(request: Request) -> Response:
        await request.body()
        return JSONResponse({"status": "ok"})

    return Starlette(routes=[Route(ROUTE, receive, methods=["POST"]), Route("/healthz", healthz)])


def signature() -> Starlette:
    """What must be paid before any work: the signature, and the parsed body."""
    webhook = Webhook(SECRET)

    async def receive(request: Request) -> Response:
        body = await request.body()
        try:
            webhook.verify(body, dict(request.headers))
        except WebhookVerificationError:
            return JSONResponse({"error": "signature"}, status_code=401)
        return JSONResponse({"status": "ok", "type": json.loads(body)["type"]})

    return Starlette(routes=[Route(ROUTE, receive, methods=["POST"]), Route("/healthz", healthz)])


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: DateTime(timezone=True)}


class WebhookEvent(Base):
    __tablename__ = "webhook_events"
    __table_args__ = (UniqueConstraint("source", "event_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str]
    event_id: Mapped[str]
    type: Mapped[str]
    status: Mapped[str]
    body: Mapped[bytes]
    received_at: Mapped[datetime]


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    clerk_id: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    name: Mapped[str]
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    data: Mapped[list["UserData"]] = relationship(cascade="all, delete-orphan", passive_deletes=True)


class UserData(Base):
    __tablename__ = "user_data"
    # No id of its own: so the three rows are one executemany; with one, three INSERTs, a third slower.
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    updated_at: Mapped[datetime]


class SyncAction(Base):
    __tablename__ = "sync_actions"
    __table_args__ = (UniqueConstraint("sink", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    sink: Mapped[str]
    key: Mapped[str]
    status: Mapped[str]
    attempts: Mapped[int]
    available_at: Mapped[datetime]


# One connection is this handler's best: SQLite has one writer, and more connections sleep in busy_timeout
# instead of queueing here. Means of three rounds, and p99: 1: 256/s, 0.3 s; 5 (the default): 234/s, 0.5 s;
# 16: 200/s, 1.3 s; 64: 202/s, 2.5 s.
POOL_SIZE = 1
POSTGRES_POOL_SIZE = 16
LOCKED_RETRIES = 5


def plain_engine(url: str) -> AsyncEngine:
    if url.startswith("postgresql"):
        return create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:", 1), pool_size=POSTGRES_POOL_SIZE)
    engine = create_async_engine(
        url.replace("sqlite:", "sqlite+aiosqlite:", 1),
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=60,
        connect_args={"timeout": 30},  # seconds of busy_timeout
    )

    @event.listens_for(engine.sync_engine, "connect")
    def durable(connection: sqlite3.Connection, _: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def person(user: dict[str, Any], now: datetime) -> User:
    addresses = {a["id"]: a["email_address"] for a in user["email_addresses"]}
    names = [n for n in (user["first_name"], user["last_name"]) if n]
    values = {
        "signup_date": user["created_at"],
        "signup_source": user["public_metadata"].get("signup_source", "clerk"),
        "last_clerk_sync": now.isoformat(),
    }
    return User(
        clerk_id=user["id"],
        email=addresses.get(user["primary_email_address_id"]),
        name=" ".join(names) or user["id"],
        first_name=user["first_name"],
        last_name=user["last_name"],
        created_at=datetime.fromtimestamp(user["created_at"] / 1000, UTC),
        updated_at=datetime.fromtimestamp(user["updated_at"] / 1000, UTC),
        data=[UserData(key=key, value=value, updated_at=now) for key, value in values.items()],
    )


async def store(session: AsyncSession, event_id: str, body: bytes) -> None:
    """Everything one event writes, in one transaction: the same six rows Rollcall has at the least."""
    message, now = json.loads(body), datetime.now(UTC)
    # The unique index finds duplicates: a SELECT first would be one more statement, and a race.
    session.add(
        WebhookEvent(
            source="clerk",
            event_id=event_id,
            type=message["type"],
            status="processed",
            body=body,
            received_at=now,
        )
    )
    session.add(person(message["data"], now))
    session.add(
        SyncAction(
            sink="notion.people",
            key=message["data"]["id"],
            status="pending",
            attempts=0,
            available_at=now,
        )
    )
    await session.commit()


def plain() -> Starlette:
    """What most people write, done properly: a session a request, ORM models, one commit, locks retried."""
    engine = plain_engine(os.environ["DATABASE_URL"])
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    webhook = Webhook(SECRET)

    async def receive(request: Request) -> Response:
        body = await request.body()
        try:
            webhook.verify(body, dict(request.headers))
        except WebhookVerificationError:
            return JSONResponse({"error": "signature"}, status_code=401)
        for attempt in range(LOCKED_RETRIES):
            try:
                async with sessions() as session:
                    await store(session, request.headers["svix-id"], body)
            except IntegrityError:
                return JSONResponse({"status": "duplicate"})
            except OperationalError:
                await asyncio.sleep(0.01 * 2**attempt)
            else:
                return JSONResponse({"status": "ok"})
        return JSONResponse({"error": "database is locked"}, status_code=503)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
        await engine.dispose()

    routes = [Route(ROUTE, receive, methods=["POST"]), Route("/healthz", healthz)]
    return Starlette(routes=routes, lifespan=lifespan)


def notion() -> Starlette:
    """As much Notion as keeps Rollcall's relay busy: pages are created at once, every query finds nothing."""
    ids = itertools.count(1)
    created: dict[str, int] = {"pages": 0}

    def page(number: int) -> Answer:
        return {"object": "page", "id": f"{number:032x}", "in_trash": False, "properties": {}}

    async def create(request: Request) -> Response:
        await request.body()
        created["pages"] += 1
        return JSONResponse(page(next(ids)))

    async def other(request: Request) -> Response:
        await request.body()
        if request.method == "GET" and "/data_sources/" in request.url.path:
            return JSONResponse({"object": "data_source", "id": request.path_params["rest"][-36:], "properties": {}})
        if request.method == "PATCH":
            return JSONResponse(page(next(ids)))
        return JSONResponse({"object": "list", "results": [], "has_more": False, "next_cursor": None})

    async def report(_: Request) -> Response:
        return JSONResponse(created)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/created", report),
            Route("/v1/pages", create, methods=["POST"]),
            Route("/v1/{rest:path}", other, methods=["GET", "POST", "PATCH"]),
        ]
    )


SERVERS: dict[str, Callable[[], Starlette]] = {
    "empty": empty,
    "signature": signature,
    "plain": plain,
    "notion": notion,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", choices=SERVERS)
    options = parser.parse_args()
    uvicorn.run(
        SERVERS[options.server](),
        host=HOST,
        port=int(os.environ["PORT"]),  # as Rollcall takes it
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
