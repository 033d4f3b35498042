"""JSON as it is stored: compact, UTF-8."""

from typing import Any

import pydantic_core


def to_json(value: Any) -> str:
    return pydantic_core.to_json(value).decode()


def from_json(text: str | bytes) -> Any:
    return pydantic_core.from_json(text)
