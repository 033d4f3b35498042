"""How a platform plugs in: a `Source` receives its webhooks, a `Sink` delivers marks to it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from db.database import Database
from db.outbox import Claim
from db.sync import Known

E = TypeVar("E")


class InvalidSignature(Exception):
    """The sender could not prove who they are: answer 401, store nothing."""


class Malformed(Exception):
    """A signed body that cannot be parsed: answer 400 with this reason, keep it as `failed`."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may know of the installation. `sinks`: the platforms that are switched on.

    `forget`: what each feature does when a person is deleted or erased, before their row goes.
    """

    workspace_id: int = 1
    admin_emails: frozenset[str] = frozenset()
    sinks: frozenset[str] = frozenset()
    forget: tuple["Forget", ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event.

    `arrived`: an external id about which waiting events can now be decided.
    `waiting_for`: the external id a `waiting` event waits for.
    """

    status: str = "applied"
    arrived: str | None = None
    waiting_for: str | None = None
    note: str | None = None


APPLIED = Outcome()


def ignored(note: str) -> Outcome:
    return Outcome("ignored", note=note)


@dataclass(frozen=True, slots=True)
class Message:
    """One event, parsed. `payload` is what its handler takes; `subject`: the external id of whom it is about."""

    event_id: str
    type: str
    payload: Any
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Event(Generic[E]):
    """What a handler takes: the platform's envelope, its data typed, and the bytes it came in."""

    envelope: E
    data: Any
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A signed request that is no event and only wants this answer (Slack's url_verification)."""

    body: Mapping[str, Any]


Forget = Callable[[Connection, int, int], None]  # tx, user_id, now
Handler = Callable[[Connection, Any, Context, int], Outcome]


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The table of what is handled: `@on("user.created", data=User)`. It is the documentation of a platform."""

    handlers: dict[str, Handler] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)

    def on(self, *types: str, data: Any) -> Callable[[Handler], Handler]:
        """Handle these event types; `data` is the pydantic model their payload must fit."""

        def register(handler: Handler) -> Handler:
            for type_ in types:
                self.handlers[type_] = handler
                self.models[type_] = data
            return handler

        return register


@dataclass(frozen=True, slots=True)
class Source:
    """A platform that sends webhooks.

    `verify` raises InvalidSignature. `event_id` reads it from the headers where it stands there.
    `parse` takes the raw body and that id, and raises Malformed.
    """

    name: str
    path: str
    verify: Callable[[Mapping[str, str], bytes], None]
    event_id: Callable[[Mapping[str, str]], str | None]
    parse: Callable[[bytes, str | None], Message | Reply]
    dispatch: Dispatch


class SinkDown(Exception):
    """The other side fails as a whole (time-out, 5xx, 401): pause it, blame no mark."""


class Unauthorized(SinkDown):
    """It does not accept our credentials (401, 403, invalid_auth): a person must act, waiting is no use."""


class Throttled(Exception):
    """The other side asks us to wait (429). `retry_after_s`: for how long."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Refused(Exception):
    """The other side refuses this one mark (400, 409): it is tried again a few times, then dead."""


class Gone(Refused):
    """The page is not there any more (404, or in the trash): forget it and look again."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the other side holds now. `again_at`: a mark that re-arms itself is due then, ms."""

    operation: str
    known: Known | None = None
    again_at: int | None = None


class Sink(Protocol):
    """A platform that marks are delivered to. Raises SinkDown, Throttled or Refused; holds no transaction."""

    name: str
    concurrency: int

    def deliver(self, database: Database, claim: Claim) -> Awaitable[Delivered]: ...

    async def close(self) -> None: ...
