"""`rollcall serve`: the web process, from the first check to a clean end after SIGTERM."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Annotated, Any, cast

import typer
import uvicorn
from starlette.applications import Starlette

from service import logs
from service.app import create_app
from service.cli import processes
from service.cli.console import AsJson
from service.cli.exits import Misuse
from service.cli.greeting import greeting
from service.cli.session import must_exist
from service.cli.signals import obeying
from service.connections import Crowd, crowd
from service.settings import load

FINISH_S = 10  # for requests under way; the relay has as long again: together under the 30 s platforms give
BACKLOG = 2048


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on, instead of PORT; 0 takes a free one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Receive webhooks and, unless RELAY=worker, deliver what is out of date, until SIGTERM or Ctrl-C."""
    overrides = {"host": host, "port": port}
    settings = load(**{name: value for name, value in overrides.items() if value is not None})
    logs.configure(settings.log_level, settings.log_format)
    must_exist(settings)
    with listening(settings.host, settings.port) as listeners:
        where = {"url": url_of(settings.host, listeners[0])}
        said = greeting(settings, where, as_json=as_json)
        if settings.web_concurrency > 1:
            config = configuration(
                f"{processes.__name__}:web",
                http=f"{processes.__name__}:connect",
                factory=True,
                lifespan="on",
                workers=settings.web_concurrency,
                timeout_worker_healthcheck=processes.START_S,  # who is killed while it starts never comes up
            )
            processes.serve(config, settings, listeners, said)
            return
        owing = crowd()
        # The lifespan is around the server: its errors reach us, and it ends after the last request.
        server = Server(configuration(create_app(settings), http=cast(Any, owing.connect), lifespan="off"), owing)
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(server.live(listeners, said))


def configuration(app: Starlette | str, **options: Any) -> uvicorn.Config:
    """What uvicorn is to do, and what not."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nothing here depends on who the caller says they are
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=FINISH_S,
        **options,
    )


class Server(uvicorn.Server):
    """uvicorn's server, but a signal it has obeyed is not raised again: the process ends with 0."""

    greeting = ""

    def __init__(self, config: uvicorn.Config, owing: Crowd) -> None:
        super().__init__(config)
        self._owing = owing

    async def live(self, listeners: list[socket.socket], greeting: str) -> None:
        """Serve from the lifespan's start to its end. Raises what the lifespan raises."""
        self.greeting = greeting
        app = self.config.app
        assert isinstance(app, Starlette)
        with obeying(self._stop):
            async with app.router.lifespan_context(app):
                processes.quiet_collector()
                await self.serve(listeners)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so once requests are answered, not before."""
        await super().startup(sockets)
        typer.echo(self.greeting)

    async def on_tick(self, counter: int) -> bool:
        self._owing.sweep()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """A request that is half here at the end has half of the time left to arrive."""
        patience = asyncio.get_running_loop().call_later(FINISH_S / 2, self._owing.sweep, 0)
        await super().shutdown(sockets)
        patience.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture: `live` has done so for longer."""
        yield

    def _stop(self) -> None:
        # The second signal: do not wait for requests under way.
        self.force_exit = self.should_exit
        self.should_exit = True


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Sockets for every address the host has; Misuse where one cannot be had."""
    with contextlib.ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            listeners: list[socket.socket] = []
            for family, _, _, _, address in dict.fromkeys(found):
                # A free port, once chosen, is the same for all addresses.
                chosen = listeners[0].getsockname()[1] if listeners and not port else address[1]
                listeners.append(stack.enter_context(_listener(family, (address[0], chosen, *address[2:]))))
        except OSError as error:
            reason = error.strerror or str(error)
            raise Misuse(
                f"cannot listen on {host}:{port}: {reason}; name another with --port (PORT) or --host (HOST)"
            ) from None
        yield listeners


def _listener(family: int, address: tuple[Any, ...]) -> socket.socket:
    # With the protocol named, accepted connections get TCP_NODELAY.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
