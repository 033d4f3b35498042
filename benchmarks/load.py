"""Drives one local webhook route over keep-alive connections, cheaply enough to measure the server.

Every request is correctly signed (its body is one of streams.py), built and signed before the clock starts.
With `rate` the load is open: request n is due at n/rate seconds and its latency counts from then, so a server
that falls behind cannot slow its own measurement down. Without it each connection sends once it is answered.
"""

import argparse
import asyncio
import base64
import gc
import hashlib
import hmac
import json
import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice

import uvloop
from streams import STREAMS

HOST = "127.0.0.1"
ROUTE = "/webhooks/clerk"
SECRET = "whsec_cm9sbGNhbGwtYmVuY2gtc2VjcmV0LW5vdC1yZWFs"
MAX_SIGNED_AHEAD = 100_000  # about 300 MB
CHUNK = 256  # signed at once when the ones signed ahead are used up
DRAIN_SECONDS = 30  # what is under way at the end may still be answered: the database is checked against it

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Plan:
    port: int
    connections: int = 64
    warmup: float = 0.5  # seconds whose answers are counted as rows but not as figures
    seconds: float = 3.0
    count: int = 1_000_000
    stream: str = "created"
    rate: float | None = None  # requests/s offered; None: as fast as answers come
    sign_ahead: int = 20_000


@dataclass(slots=True)
class Result:
    """Latencies in ms. `acknowledged` and `refused` count everything sent, the rest the measured window."""

    acknowledged: int = 0
    refused: int = 0  # answers that were not 2xx, broken connections, no answer at all
    statuses: dict[str, int] = field(default_factory=dict)
    window: float = 0.0
    answers: int = 0  # 2xx inside the window
    per_second: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    worst: float = 0.0
    unsent: int = 0  # open load only: due, and no connection was free for it before the end
    signed_late: int = 0  # signed while the clock ran; costs the generator, so few is better
    generator_cpu: float = 0.0  # share of one core during the window


class Requests:
    """Signed requests as bytes, each used once."""

    def __init__(self, port: int, ahead: int, stream: str) -> None:
        self._messages = STREAMS[stream]()
        self._mac = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), digestmod=hashlib.sha256)
        self._head = (
            f"POST {ROUTE} HTTP/1.1\r\nhost: {HOST}:{port}\r\nuser-agent: Svix-Webhooks/1.84\r\n"
            f"content-type: application/json\r\naccept: */*\r\ncontent-length: "
        ).encode()
        self.late = 0
        self._ready = deque(self._sign(min(ahead, MAX_SIGNED_AHEAD)))

    def next(self) -> bytes:
        if not self._ready:
            self.late += CHUNK
            self._ready.extend(self._sign(CHUNK))
        return self._ready.popleft()

    def _sign(self, count: int) -> Iterator[bytes]:
        stamp = str(int(time.time())).encode()
        for name, body in islice(self._messages, count):
            mac = self._mac.copy()
            mac.update(b"%b.%b.%b" % (name, stamp, body))
            signature = base64.b64encode(mac.digest())
            yield b"%b%d\r\nsvix-id: %b\r\nsvix-timestamp: %b\r\nsvix-signature: v1,%b\r\n\r\n%b" % (
                self._head,
                len(body),
                name,
                stamp,
                signature,
                body,
            )


class Run:
    """One measurement: the connections ask it for work and tell it what came back."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.requests = Requests(plan.port, plan.sign_ahead, plan.stream)
        self.result = Result()
        self.latencies: list[float] = []
        self.idle: set[Connection] = set()
        self.due: deque[float] = deque()  # open load only
        self.busy = 0
        self.sent = 0
        self.over = False
        self.drained = asyncio.Event()
        self.begins = self.ends = self.last = 0.0

    def offer(self, connection: "Connection") -> None:
        """A connection is free: give it the next request, if one is due."""
        if self.over or self.sent >= self.plan.count:
            self.idle.add(connection)
            if not self.busy:
                self.drained.set()
        elif self.plan.rate is None:
            self._send(connection, time.perf_counter())
        elif self.due:
            self._send(connection, self.due.popleft())
        else:
            self.idle.add(connection)

    def _send(self, connection: "Connection", since: float) -> None:
        self.sent += 1
        self.busy += 1
        connection.send(self.requests.next(), since)

    def answered(self, since: float, status: bytes) -> None:
        now = self.last = time.perf_counter()
        self.busy -= 1
        good = status[:1] == b"2"
        if good:
            self.result.acknowledged += 1
        else:
            self.result.refused += 1
        name = status.decode("ascii", "replace")
        self.result.statuses[name] = self.result.statuses.get(name, 0) + 1
        # The rate counts what was answered inside the window, the latencies what was sent inside it: so the
        # wait for the last answers does not lower the rate, and the end of the window hides no slow answer.
        if good and self.begins <= now <= self.ends:
            self.result.answers += 1
        if good and self.begins <= since <= self.ends:
            self.latencies.append(now - since)

    async def pace(self) -> None:
        """Open load: hand out every request whose time has come, a millisecond's worth at once."""
        assert self.plan.rate is not None
        start, made = time.perf_counter(), 0
        while not self.over and made < self.plan.count:
            now = time.perf_counter()
            while made < self.plan.count and start + made / self.plan.rate <= now:
                self.due.append(start + made / self.plan.rate)
                made += 1
            while self.due and self.idle:
                self.offer(self.idle.pop())
            await asyncio.sleep(0.001)

    def finish(self, cpu: float) -> Result:
        result, spent = self.result, sorted(self.latencies)
        result.refused += self.busy  # never answered
        if self.busy:
            result.statuses["none"] = self.busy
        counted_out = self.sent >= self.plan.count  # only then may the window end early: a stall belongs in it
        result.window = max((min(self.ends, self.last) if counted_out else self.ends) - self.begins, 1e-9)
        result.per_second = result.answers / result.window
        result.unsent = len(self.due)
        result.signed_late = self.requests.late
        result.generator_cpu = cpu / result.window
        if spent:
            result.p50, result.p99, result.p999, result.worst = (
                1000 * spent[min(len(spent) - 1, int(len(spent) * q))] for q in (0.5, 0.99, 0.999, 1)
            )
        return result


class Connection(asyncio.Protocol):
    """Reads as much HTTP/1.1 as an answer with a content-length needs, and not a byte more."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.transport: asyncio.Transport | None = None
        self.rest = b""
        self.since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's is no asyncio.Transport

    def send(self, request: bytes, since: float) -> None:
        assert self.transport is not None
        self.since = since
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        end = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data, 0, end + 2) if end >= 0 else None
        if end >= 0 and length is None:
            self._abort()  # chunked or endless answers are none we can count
        elif length is None or len(data) < end + 4 + int(length[1]):
            self.rest = data
        elif self.since is not None:
            self.rest, since, self.since = b"", self.since, None
            self.run.answered(since, data[9:12])
            self.run.offer(self)

    def _abort(self) -> None:
        assert self.transport is not None
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names it
        self.run.idle.discard(self)
        if self.since is not None:
            since, self.since = self.since, None
            self.run.answered(since, b"broken")
        if self.run.over:
            self.run.offer(self)
        else:
            asyncio.ensure_future(connect(self.run))  # noqa: RUF006  # it ends with the run


async def connect(run: Run) -> None:
    loop = asyncio.get_running_loop()
    while not run.over:
        try:
            _, connection = await loop.create_connection(lambda: Connection(run), HOST, run.plan.port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            run.offer(connection)
            return


async def drive(plan: Plan) -> Result:
    """Run the plan; it stops by itself after `warmup + seconds` or `count` requests, and a bounded drain."""
    run = Run(plan)
    gc.collect()
    gc.disable()  # the run is short and bounded; a collection would show up as the server's latency
    run.begins = time.perf_counter() + plan.warmup
    run.ends = run.begins + plan.seconds
    opening = [asyncio.ensure_future(connect(run)) for _ in range(plan.connections)]
    pacer = asyncio.ensure_future(run.pace()) if plan.rate is not None else None
    await asyncio.sleep(max(0.0, run.begins - time.perf_counter()))
    cpu = time.process_time()
    try:
        await asyncio.wait_for(run.drained.wait(), max(0.0, run.ends - time.perf_counter()))
    except TimeoutError:
        run.over = True
    cpu = time.process_time() - cpu
    if pacer is not None:
        await pacer
    if run.busy:
        try:
            await asyncio.wait_for(run.drained.wait(), DRAIN_SECONDS)
        except TimeoutError:
            print("load: some requests were never answered", file=sys.stderr)
    run.over = True
    await asyncio.gather(*opening)
    for connection in run.idle:
        connection._abort()  # noqa: SLF001  # ours
    return run.finish(cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=Plan.connections)
    parser.add_argument("--warmup", type=float, default=Plan.warmup)
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--count", type=int, default=Plan.count)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--stream", choices=STREAMS, default=Plan.stream)
    parser.add_argument("--sign-ahead", type=int, default=Plan.sign_ahead)
    plan = Plan(**vars(parser.parse_args()))
    print(json.dumps(asdict(uvloop.run(drive(plan)))))


if __name__ == "__main__":
    main()
