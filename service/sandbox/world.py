"""The outside world in one object: Clerk, Slack and Notion in memory, served on this machine."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.sandbox.app import ABORT, Platform, application
from service.sandbox.clerk import Clerk
from service.sandbox.faults import Faults
from service.sandbox.journal import Journal
from service.sandbox.notion import Notion
from service.sandbox.people import Persona, clerk_user, notion_user, slack_user
from service.sandbox.slack import Slack

HOST = "127.0.0.1"
_GRACE = 2.0  # seconds that requests under way get when the sandbox stops


def _present() -> datetime:
    return datetime.now(UTC)


@dataclass
class World:
    """Everything outside of Rollcall. The same `seed` gives the same tokens and ids; nothing is persisted.

    It may be stopped and run again (an outage): what it holds stays. Everything may be changed at any time,
    except `clock`, the present that Notion writes into pages. `requests` is all that was received.
    """

    seed: int = 1
    clock: Callable[[], datetime] = _present
    url: str = ""
    faults: Faults = field(default_factory=Faults)
    requests: Journal = field(default_factory=Journal)
    notion: Notion = field(init=False)
    slack: Slack = field(init=False)
    clerk: Clerk = field(init=False)

    def __post_init__(self) -> None:
        self.notion = Notion(self.seed, self.clock)
        self.slack = Slack(self.seed)
        self.clerk = Clerk(self.seed)

    @property
    def platforms(self) -> dict[str, Platform]:
        return {"notion": self.notion, "slack": self.slack, "clerk": self.clerk}

    @property
    def notion_url(self) -> str:
        """`base_url` for notion-client, which adds `/v1/` itself."""
        return f"{self.url}/notion"

    @property
    def slack_url(self) -> str:
        """`base_url` for slack_sdk."""
        return f"{self.url}/slack/api/"

    @property
    def clerk_url(self) -> str:
        """What `https://api.clerk.com/v1` stands for."""
        return f"{self.url}/clerk/v1"

    def admit(self, person: Persona, *, clerk: bool = True, slack: bool = True, notion: bool = True) -> None:
        """Gives an invented person their accounts."""
        if clerk:
            self.clerk.put(clerk_user(person))
        if slack:
            self.slack.put(slack_user(person, updated_s=person.created_at_ms // 1000))
        if notion:
            self.notion.add_user(notion_user(person))


class _Wire(HttpToolsProtocol):
    """uvicorn's protocol, with a way to hang up."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]  # a callable, not a dict


@contextlib.asynccontextmanager
async def running(world: World, port: int = 0) -> AsyncIterator[World]:
    """Serves `world` on loopback in the running loop, on a free port or the given one; sets `world.url`.

    uvicorn's own `serve` would take over signals and needs 0.3 s to stop; so only its parts are used.
    """
    stopping = asyncio.Event()
    app = application(world, stopping)
    config = uvicorn.Config(
        app, http=_Wire, ws="none", lifespan="off", log_config=None, access_log=False, timeout_keep_alive=75
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with _listening(port) as listener:
        await server.startup(sockets=[listener])
        world.url = f"http://{HOST}:{listener.getsockname()[1]}"
        try:
            yield world
        finally:
            stopping.set()
            await _stop(server)


class _Thread(threading.Thread):
    """A world in a loop of its own; `ready` is set once it serves, or once it could not (`failure`)."""

    def __init__(self, world: World, port: int) -> None:
        super().__init__(name="sandbox", daemon=True)
        self.world, self.port = world, port
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self._inside: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # noqa: BLE001  # raised where the world was asked for
            self.failure = failure
        finally:
            self.ready.set()

    def stop(self) -> None:
        if self._inside is not None:
            loop, stopping = self._inside
            with contextlib.suppress(RuntimeError):  # the loop is closed: it failed on its own
                loop.call_soon_threadsafe(stopping.set)
        self.join()

    async def _serve(self) -> None:
        async with running(self.world, self.port):
            stopping = asyncio.Event()
            self._inside = (asyncio.get_running_loop(), stopping)
            self.ready.set()
            await stopping.wait()


@contextlib.contextmanager
def running_in_thread(world: World, port: int = 0) -> Iterator[World]:
    """The same in a thread with its own loop, for tests that block or that kill the service's process."""
    thread = _Thread(world, port)
    thread.start()
    thread.ready.wait()
    try:
        if thread.failure is None:
            yield world
    finally:
        thread.stop()
    if thread.failure is not None:
        raise thread.failure


def _listening(port: int) -> socket.socket:
    # With the protocol left out asyncio does not set TCP_NODELAY, and every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


async def _stop(server: uvicorn.Server) -> None:
    """Lets requests under way finish, then hangs up on whoever is left."""
    for listener in server.servers:
        listener.close()
    held = server.server_state
    for connection in list(held.connections):
        connection.shutdown()
    deadline = asyncio.get_running_loop().time() + _GRACE
    while held.tasks and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  # uvicorn has no event
        await asyncio.sleep(0.001)
    for connection in list(held.connections):
        connection.transport.abort()
    while held.connections:  # noqa: ASYNC110  # nor for connections
        await asyncio.sleep(0)
