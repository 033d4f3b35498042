"""What the sandboxed platforms share with the socket: a request in, an answer out, nothing awaited."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from pydantic_core import from_json, to_json

Json = dict[str, Any]

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(slots=True)
class Call:
    """One request as a platform sees it: `path` is its own (`/v1/users`, `/api/auth.test`), `port` the caller's."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    port: int | None = None
    _json: Any = None

    def one(self, name: str) -> str | None:
        values = self.query.get(name)
        return values[-1] if values else None

    def json(self) -> Any:
        """The parsed body, cached; raises ValueError on what is no JSON (NaN included)."""
        if self._json is None and self.body:
            self._json = from_json(self.body, allow_inf_nan=False)
        return self._json

    @property
    def bearer(self) -> str | None:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" and token.strip() else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. A dict or list is sent as JSON, bytes as they are."""

    body: Json | list[Any] | bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = JSON_TYPE

    @property
    def ok(self) -> bool:
        """Whether the platform did what was asked; Slack says so inside a 200."""
        refused = isinstance(self.body, dict) and self.body.get("ok") is False
        return self.status < 400 and not refused  # noqa: PLR2004  # HTTP's own boundary

    def payload(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else to_json(self.body)


class RefusedError(Exception):
    """The platform says no: send `answer` as it stands; nothing was changed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def parse_query(raw: bytes) -> dict[str, list[str]]:
    return parse_qs(raw.decode("latin-1"), keep_blank_values=True) if raw else {}
