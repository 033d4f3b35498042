"""Raw webhook bodies become JSON here, or a reason why not; nothing a sender writes may crash the parser."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from handlers.registry import Malformed


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Malformed says what is wrong: not UTF-8, not JSON, nested too deep, a NUL, …"""
    try:
        # Not json.loads: 10,000 nested brackets are a RecursionError there.
        parsed = from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise Malformed(_not_utf8(body) or f"the body is not JSON that can be stored: {error}") from None
    if not isinstance(parsed, dict):
        raise Malformed("the body is JSON, but no object")
    if b"\\u" in body and b"\\u0000" in body and _has_nul(parsed):
        raise Malformed("a string contains a NUL character")
    return parsed


def complaint(error: ValidationError) -> Malformed:
    """The first thing that does not fit its type, without repeating the value."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    return Malformed(f"{where}: {first['msg']}")


def _not_utf8(body: bytes) -> str | None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"the body is not UTF-8 (byte {error.start})"
    return None


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_nul(item) for item in value)
