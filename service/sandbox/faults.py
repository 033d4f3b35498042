"""Everything that goes wrong between us and a platform, on request: scripted, at random or by haste."""

import math
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from service.sandbox.wire import Call

Kind = Literal["status", "hang", "slow", "drop", "html", "garbage"]
_LIVELY = "probability must lie between 0 and 1"


@dataclass(slots=True)
class Fault:
    """What goes wrong with the requests it matches.

    kind:
      status   the platform's own error body for `status` (Slack: `code` in a 200, or 429/5xx);
      hang     no answer for `seconds`, then the connection closes;
      slow     the true answer, `seconds` late;
      drop     the connection closes without an answer;
      html     an HTML page with `status` (200 or 502);
      garbage  a 200 whose body is no JSON.
    committed: the write happens all the same, before the wait or (with `late`) after it. A request that the
      platform would have refused is answered with that refusal: there is nothing to commit.
    named: the error of a committed create carries `additional_data.committed_resource_id` (Notion).
    retry_after: seconds, in the header and in Notion's body. reason: Notion's `rate_limit_reason`.
    code: overrides the error code. contains: only bodies with this text.
    times: how many requests it hits, None for all. skip: how many matching requests pass first.
    """

    platform: str | None = None
    method: str | None = None
    path_prefix: str = ""
    kind: Kind = "status"
    status: int = 503
    code: str | None = None
    retry_after: float | None = None
    reason: str = "public_api_request_rate_limit"
    seconds: float = 0.0
    committed: bool = False
    named: bool = False
    late: bool = False
    contains: str | None = None
    times: int | None = 1
    skip: int = 0
    hits: int = 0

    @property
    def label(self) -> str:
        """As the request log shows it: `status 503, committed`, `status 200 invalid_auth`, `drop`, `html 502`."""
        name = f"{self.kind} {self.status}" if self.kind in ("status", "html") else self.kind
        name += f" {self.code}" if self.code else ""
        return f"{name}, committed" if self.committed else name

    def matches(self, platform: str, call: Call) -> bool:
        return (
            self.platform in (None, platform)
            and self.method in (None, call.method)
            and call.path.startswith(self.path_prefix)
            and (self.contains is None or self.contains.encode() in call.body)
        )

    def claims(self, platform: str, call: Call) -> bool:
        """Whether this request is hit; counts it."""
        if self.times is not None and self.hits >= self.times:
            return False
        if not self.matches(platform, call):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.hits += 1
        return True


def notion_mix(hang: float = 0.0, retry_after: float = 1) -> list[Fault]:
    """What Notion does on a bad day, one of each; hangs (seconds) only when asked for."""
    mix = [
        Fault(status=429, retry_after=retry_after),
        Fault(status=409),
        Fault(status=500),
        Fault(status=502),
        Fault(status=503),
        Fault(status=503, committed=True),
        Fault(status=503, committed=True, named=True),
        Fault(status=504, committed=True),
        Fault(status=529, retry_after=retry_after),
        Fault(kind="drop"),
        Fault(kind="drop", committed=True),
        Fault(kind="html", status=502),
        Fault(kind="garbage", committed=True),
    ]
    if hang:
        mix += [Fault(kind="hang", seconds=hang), Fault(kind="hang", seconds=hang, committed=True)]
    return mix


@dataclass(slots=True)
class Chance:
    """Hits each request with a probability, with one of `mix`; the same seed gives the same story."""

    rng: random.Random
    probability: float
    mix: list[Fault]
    platform: str | None = None
    path_prefix: str = ""
    hits: int = 0

    def claims(self, platform: str, call: Call) -> Fault | None:
        if self.platform not in (None, platform) or not call.path.startswith(self.path_prefix):
            return None
        if self.rng.random() >= self.probability:
            return None
        chosen = self.rng.choice(self.mix)
        if not chosen.matches(platform, call):
            return None
        chosen.hits += 1
        self.hits += 1
        return chosen


@dataclass(slots=True)
class Limit:
    """A fixed window that opens with its first request: the real limit of Notion (180 in 60 s) and of Clerk.

    `per_path` counts each path alone, as Slack does. `retry_after` replaces the true wait.
    """

    requests: int
    seconds: float
    reason: str = "public_api_request_rate_limit"
    per_path: bool = False
    retry_after: float | None = None
    refused: int = 0
    _windows: dict[str, tuple[float, int]] = field(default_factory=dict)

    def wait(self, path: str, now: float) -> float | None:
        """Seconds to wait when the window is full, else None; counts the request. `now` is monotonic."""
        key = path if self.per_path else ""
        opened, count = self._windows.get(key, (-math.inf, 0))
        if now - opened >= self.seconds:
            opened, count = now, 0
        if count < self.requests:
            self._windows[key] = (opened, count + 1)
            return None
        self.refused += 1
        left = opened + self.seconds - now
        if self.retry_after is not None:
            return self.retry_after
        # Platforms send whole seconds; a window shorter than one is a test's shorthand and gets decimals.
        return float(math.ceil(left)) if self.seconds >= 1 else math.ceil(left * 1000) / 1000


class Faults:
    """The script of what goes wrong: `add` for named requests, `random` for a bad day, `limit` for haste.

    `hits` counts the requests that met any of it.
    """

    def __init__(self) -> None:
        self.hits = 0
        self.script: list[Fault] = []
        self.chances: list[Chance] = []
        self.limits: dict[str, Limit] = {}

    def add(self, **how: Any) -> Fault:
        """Arm a `Fault` (see its fields). The oldest that matches wins; `fault.hits` counts."""
        fault = Fault(**how)
        self.script.append(fault)
        return fault

    def random(
        self,
        *,
        seed: int,
        probability: float,
        mix: Iterable[Fault] | None = None,
        platform: str | None = None,
        path_prefix: str = "",
    ) -> Chance:
        """From now on each request fails with this probability, in a way drawn from `mix`."""
        if not 0 <= probability <= 1:
            raise ValueError(_LIVELY)
        copies = [replace(fault) for fault in (notion_mix() if mix is None else mix)]
        chance = Chance(random.Random(seed), probability, copies, platform, path_prefix)
        self.chances.append(chance)
        return chance

    def limit(self, platform: str, *, requests: int, seconds: float, **how: Any) -> Limit:
        """From now on `platform` answers 429 past `requests` in a window of `seconds`."""
        self.limits[platform] = Limit(requests, seconds, **how)
        return self.limits[platform]

    def calm(self) -> None:
        """Nothing goes wrong any more; limits too are gone."""
        self.script.clear()
        self.chances.clear()
        self.limits.clear()

    def pick(self, platform: str, call: Call) -> Fault | None:
        """The fault this request meets, counted; a full rate limit comes first."""
        fault = self._limited(platform, call) or self._scripted(platform, call)
        if fault is not None:
            self.hits += 1
        return fault

    def _limited(self, platform: str, call: Call) -> Fault | None:
        limit = self.limits.get(platform)
        if limit is None or (wait := limit.wait(call.path, time.monotonic())) is None:
            return None
        return Fault(status=429, retry_after=wait, reason=limit.reason, hits=1)

    def _scripted(self, platform: str, call: Call) -> Fault | None:
        for fault in self.script:
            if fault.claims(platform, call):
                return fault
        return next((hit for chance in self.chances if (hit := chance.claims(platform, call))), None)
