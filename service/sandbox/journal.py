"""Every request the sandbox received, so that a test can say what was sent, how often and how fast."""

import time
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime

from service.sandbox.wire import Call, Json


@dataclass(slots=True)
class Request:
    """One request. `status` is None while it is unanswered and for ever when the connection was dropped."""

    platform: str
    method: str
    path: str
    call: Call
    status: int | None = None
    fault: str | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    monotonic: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Json:
        """The body that was sent; empty for none, or for what is no JSON object."""
        try:
            body = self.call.json()
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


_READING_POSTS = ("/query", "/search")


class Journal(list[Request]):
    """All requests, oldest first. The filters return a Journal again."""

    def to(self, platform: str, method: str | None = None, path: str = "", *, status: int | None = None) -> "Journal":
        """Requests to a platform, of a method, whose path starts with `path`, answered with `status`."""
        return Journal(
            request
            for request in list(self)
            if request.platform == platform
            and (method is None or request.method == method)
            and request.path.startswith(path)
            and (status is None or request.status == status)
        )

    def writes(self, platform: str) -> "Journal":
        """Requests that ask for a change (a query is a POST that does not)."""
        return Journal(
            request
            for request in self.to(platform)
            if request.method != "GET" and not request.path.endswith(_READING_POSTS)
        )

    def busiest(self, seconds: float) -> int:
        """The most requests that fell into any window of that length (monotonic clock)."""
        times = sorted(request.monotonic for request in list(self))
        return max((bisect_right(times, start + seconds) - index for index, start in enumerate(times)), default=0)
