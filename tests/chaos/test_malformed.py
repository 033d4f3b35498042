"""Ten thousand requests nobody should send: never a 5xx for the caller's fault, never a traceback, memory flat."""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from service.sandbox.senders import sign_clerk, sign_slack
from tests.chaos.conftest import Chaos
from tests.chaos.report import HERE, LONG
from tests.chaos.scene import CLERK_SECRET, SLACK_SECRET, Scene
from tests.chaos.streams import a_day, renames
from tests.service.test_bad_input import BODY, HEADERS, JSON, PLAIN, cut_or_spliced

pytestmark = HERE

COUNT = 10_000 if LONG else 300
WIDTH = 16
DRAWN = 1_000 if LONG else 100  # different requests of each kind; they are sent over and over
ANSWER_S = 1.5
FLAT = 16 * 1024 * 1024  # bytes; less than a body of the largest size for every connection there was
PATHS = (b"/webhooks/clerk", b"/slack/events", b"/healthz", b"/readyz", b"/", b"/nothing/here")
Sample = list[bytes]


def broken_http(rng: random.Random) -> bytes:
    """What is no HTTP, or HTTP to be refused: the classics, and a good request with bytes changed."""
    body = BODY["clerk"]
    good = _request(rng.choice(PATHS), {b"Content-Length": b"%d" % len(body)}, body)
    return rng.choice(
        (
            lambda: rng.randbytes(rng.randrange(1, 200)),
            lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(64),  # TLS
            lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            lambda: b"GET\r\n\r\n",
            lambda: b"GET / HTTP/9.9\r\nHost: x\r\nConnection: close\r\n\r\n",
            lambda: b"POST /webhooks/cl\xc3\xa9rk HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            lambda: b"POST /webhooks/%ff%00%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            lambda: b"POST http://[::1/webhooks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            lambda: b"POST //:0?# HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            lambda: b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            lambda: b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            lambda: _request(rng.choice(PATHS), {b"Content-Length": b"-1"}, body),
            lambda: _request(rng.choice(PATHS), {b"Content-Length": b"9" * 30}, body),
            lambda: _request(rng.choice(PATHS), {b"Content-Length": b"5", b"Transfer-Encoding": b"chunked"}, body),
            lambda: _request(rng.choice(PATHS), {b"Transfer-Encoding": b"chunked"}, b"zz\r\n" + body),
            lambda: _request(rng.choice(PATHS), {b"Transfer-Encoding": b"chunked"}, b"5\r\nab"),
            lambda: _request(rng.choice(PATHS), {b"Transfer-Encoding": b"gzip"}, body),
            lambda: _request(rng.choice(PATHS), {b"Expect": b"200-nonsense", b"Content-Length": b"2"}, b"{}"),
            lambda: _request(rng.choice(PATHS), {b"Upgrade": b"websocket", b"Connection": b"Upgrade"}, b""),
            lambda: _request(rng.choice(PATHS), {b"X": b"y" * 100_000}, b""),
            lambda: _request(rng.choice(PATHS), {b"bad header\x00": b"\x01\x02"}, b""),
            lambda: _request(rng.choice(PATHS), {b"svix-signature": b"\xff\xfe\xfd"}, b""),
            lambda: good + good[: rng.randrange(len(good))],  # a second request follows, cut off
            lambda: _changed(rng, good),
            lambda: _changed(rng, good),
        )
    )()


def _changed(rng: random.Random, good: bytes) -> bytes:
    spoiled = bytearray(good)
    for _ in range(rng.randrange(1, 6)):
        spoiled[rng.randrange(min(len(spoiled), 300))] = rng.randrange(256)
    return bytes(spoiled)


def _request(path: bytes, headers: dict[bytes, bytes], body: bytes, method: bytes = b"POST") -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, path), b"Host: rollcall", b"Connection: close"]
    lines += [b"%b: %b" % item for item in headers.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def drawn(number: int) -> tuple[list[dict[str, str]], list[bytes]]:
    """Headers and bodies as the tests of bad input draw them, from this seed."""
    headers: list[dict[str, str]] = []
    bodies: list[bytes] = []

    @seed(number)
    @settings(
        max_examples=DRAWN,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(HEADERS, PLAIN | cut_or_spliced() | JSON.map(str).map(str.encode))
    def collect(some: dict[str, str], body: bytes) -> None:
        headers.append(some)
        bodies.append(body)

    collect()
    return headers, bodies


def requests(rng: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Kind and bytes. Half of the bodies are signed as the platform would: those reach the parser."""
    headers, bodies = drawn(rng.randrange(2**32))
    for number in range(count):
        kind = rng.choice(("broken HTTP", "odd headers", "signed nonsense"))
        body = rng.choice(bodies)
        if kind == "broken HTTP":
            yield kind, broken_http(rng)
            continue
        if kind == "odd headers":
            odd = {_latin(name): _latin(value) for name, value in rng.choice(headers).items()}
        elif rng.random() < 0.5:
            odd = _raw(sign_clerk(CLERK_SECRET, f"msg_bad_{number}", int(time.time()), body))
        else:
            odd = _raw(sign_slack(SLACK_SECRET, int(time.time()), body))
        path = rng.choice(PATHS[:2]) if kind == "odd headers" or b"X-Slack-Signature" in odd else PATHS[0]
        if b"X-Slack-Signature" in odd:
            path = PATHS[1]
        yield kind, _request(path, {**odd, b"Content-Length": b"%d" % len(body)}, body)


def _raw(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}


def _latin(text: str) -> bytes:
    """As bytes of a header; what ends a line stays in, for some sender does that too."""
    return text.encode("utf-8", "surrogatepass")


async def exchange(port: int, request: bytes) -> bytes:
    """What the service says to these bytes, until it hangs up or the sender has heard enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    try:
        writer.write(request)
        async with asyncio.timeout(ANSWER_S):
            while more := await reader.read(65_536):
                said += more
    except (ConnectionError, TimeoutError):
        return said
    finally:
        writer.close()
    return said


async def storm(scene: Scene, rng: random.Random, count: int) -> tuple[Counter[str], Counter[str], list[bytes]]:
    """Sends so many; returns kinds, answers' codes, and the answers nobody should ever get."""
    kinds: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    shameful: list[bytes] = []
    source = iter(list(requests(rng, count)))  # drawn before any is sent: drawing keeps the loop

    async def sender() -> None:
        for kind, request in source:
            kinds[kind] += 1
            answer = await exchange(scene.port, request)
            found = re.findall(rb"HTTP/1\.1 (\d{3})", answer)
            codes.update(code.decode() for code in found) if found else codes.update(["none"])
            if b"Traceback" in answer or any(code >= b"500" for code in found):
                shameful.append(request[:300] + b" -> " + answer[:300])

    await asyncio.gather(*(sender() for _ in range(WIDTH)))
    return kinds, codes, shameful


@pytest.mark.timeout(1800 if LONG else 600)
async def test_ten_thousand_malformed_requests_harm_nobody(chaos: Chaos) -> None:
    no_slack = {"SLACK_BOT_TOKEN": "", "SLACK_ALERT_CHANNEL": ""}  # signed nonsense may revoke the token
    async with chaos({"service.connections.REQUEST_S": 1.0}, **no_slack) as scene:
        report = scene.report
        deliveries, expected = a_day(report.seed, scene.world)
        await scene.start()
        scene.platforms.begin(deliveries, 1)
        await storm(scene, random.Random(report.seed), COUNT // 4)  # caches fill
        await scene.platforms.done()
        at_first = scene.program.rss()
        await good_weather(scene, COUNT)
        before = scene.program.rss()
        kinds, codes, shameful = await storm(scene, scene.rng, COUNT)
        after = scene.program.rss()
        report.faults.update(kinds)
        report.must_bite = dict.fromkeys(("broken HTTP", "odd headers", "signed nonsense"), COUNT // 5)
        report.figures |= {
            "answers": dict(sorted(codes.items())),
            "memory grown by good requests, MB": _megabytes(before - at_first),
            "memory grown by malformed ones, MB": _megabytes(after - before),
            "memory in the end, MB": _megabytes(after),
        }
        report.harm |= {"5xx or traceback": shameful, "internal errors in the log": _errors(scene)}
        report.harm["memory that stayed, MB"] = [_megabytes(after - before)] if after - before > FLAT else []
        await scene.finish(expected, strangers=True)


async def good_weather(scene: Scene, count: int) -> None:
    """As many requests as the storm has, all of them good: what memory they take is the reference."""
    stream = renames(scene.report.seed, 50)
    for number in range(count // 50):
        await asyncio.gather(*map(scene.platforms.send, stream.round(number)))


def _errors(scene: Scene) -> list[object]:
    return [line for line in scene.program.said() if line.get("event") in ("internal_error", "raw", "handler_failed")]


def _megabytes(size: int) -> float:
    return round(size / 2**20, 1)
