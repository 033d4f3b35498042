"""The types of everything in `user_data`, checked in the one place that writes it (S3.4)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import structlog
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    TypeAdapter,
    ValidationError,
)
from sqlalchemy import Connection

from db import user_data

log = structlog.get_logger()

HISTORY_LIMIT = 50  # entries kept of name_history and login_history, the newest


def _as_text(value: Any) -> Any:
    if not isinstance(value, str) or "T" not in value:
        raise ValueError("must be a time such as 2026-11-02T09:00:00Z")
    return value


# What is checked is stored as it came: nothing may pass only because pydantic would have converted it.
Moment = Annotated[AwareDatetime, BeforeValidator(_as_text)]


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Preferences(_Value):
    theme: Literal["light", "dark", "system"] | None = None
    notifications: StrictBool | None = None
    language: str | None = Field(None, min_length=1, max_length=35)
    timezone: str | None = Field(None, min_length=1, max_length=64)


class Onboarding(_Value):
    step: Literal["welcome", "profile", "preferences", "complete"]
    completed: StrictBool
    started_at: Moment
    completed_at: Moment | None = None


class Profile(_Value):
    """What Slack shows of a person."""

    title: str | None = Field(None, min_length=1)
    display_name: str | None = Field(None, min_length=1)


class Login(_Value):
    timestamp: Moment
    success: StrictBool
    device: str | None = None
    ip: str | None = None


class NameChange(_Value):
    """The name as it became, at `timestamp`; `changed_by` is the Clerk id of an administrator."""

    first_name: str
    last_name: str
    timestamp: Moment
    changed_by: str | None = None


Flags = Annotated[dict[str, StrictBool], Field(max_length=200)]

TYPES: dict[str, TypeAdapter[Any]] = {
    "preferences": TypeAdapter(Preferences),
    "feature_flags": TypeAdapter(Flags),
    "onboarding_status": TypeAdapter(Onboarding),
    "profile": TypeAdapter(Profile),
    "session_count": TypeAdapter(Annotated[int, Field(ge=0, strict=True)]),
    "last_active": TypeAdapter(Moment),
    "login_history": TypeAdapter(Annotated[list[Login], Field(max_length=HISTORY_LIMIT)]),
    "name_history": TypeAdapter(Annotated[list[NameChange], Field(max_length=HISTORY_LIMIT)]),
    "last_clerk_sync": TypeAdapter(Moment),
    "signup_date": TypeAdapter(Moment),
    "signup_source": TypeAdapter(Literal["clerk", "invite", "admin"]),
}
VALIDATE = {key: type_.validator.validate_python for key, type_ in TYPES.items()}

FIELDS = {"preferences": Preferences.model_fields.keys(), "onboarding_status": Onboarding.model_fields.keys()}


class InvalidValue(ValueError):
    """A `user_data` key or value that its type does not allow; the message names the key and what is wrong."""


def check(key: str, value: Any) -> Any:
    """The value as it may be stored, or InvalidValue."""
    validate = VALIDATE.get(key)
    if validate is None:
        raise InvalidValue(f"user_data has no key {key!r}; its keys are {', '.join(sorted(TYPES))}")
    try:
        validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in (key, *first["loc"]))
        raise InvalidValue(f"user_data.{where}: {first['msg']}") from None
    return value


def accept(key: str, value: Any, **about: str) -> Any:
    """What of foreign metadata may be stored; the rest leaves a log line, for it must not stop its event.

    Fields a type does not know, and nulls, are left out; a value that does not fit is dropped whole.
    """
    if value is None:
        return None
    fields = FIELDS.get(key)
    if fields and isinstance(value, dict):
        value = {name: one for name, one in value.items() if name in fields and one is not None}
    try:
        return check(key, value)
    except InvalidValue as error:
        log.warning("metadata_dropped", reason=str(error), **about)
        return None


def store(tx: Connection, user_id: int, values: Mapping[str, Any]) -> None:
    """Write these keys; InvalidValue refuses all of them if one does not fit."""
    user_data.put(tx, user_id, {key: check(key, value) for key, value in values.items()})


def iso(ms: int) -> str:
    """A time as user_data holds it: ISO 8601, UTC, milliseconds."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec='milliseconds')[:-6]}Z"
