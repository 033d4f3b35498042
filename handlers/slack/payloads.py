"""Slack's Events API payloads, parsed permissively: what we use is typed, the rest may be anything.

Source: the samples of Slack's Java SDK, and docs.slack.dev.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

LATEST_S = 253_402_300_799  # the end of year 9999

SlackId = Annotated[str, Field(min_length=1, max_length=64)]
Seconds = Annotated[int, Field(ge=0, le=LATEST_S)]


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Profile(_Payload):
    real_name: str | None = None
    display_name: str | None = None
    email: str | None = None
    title: str | None = None


class EnterpriseUser(_Payload):
    enterprise_id: str | None = None


class User(_Payload):
    """A user object, as team_join, user_change and users.list carry it."""

    id: SlackId
    team_id: str | None = None
    deleted: bool | None = None
    real_name: str | None = None
    tz: str | None = None
    locale: str | None = None
    profile: Profile = Profile()
    is_bot: bool | None = None
    is_workflow_bot: bool | None = None
    is_stranger: bool | None = None
    is_forgotten: bool | None = None
    is_email_confirmed: bool | None = None
    updated: Seconds | None = None
    enterprise_user: EnterpriseUser | None = None


class UserEvent(_Payload):
    user: User
    event_ts: Annotated[str, Field(pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?$")] | None = None


class Tokens(_Payload):
    oauth: list[str] | None = None
    bot: list[str] | None = None


class TokensRevoked(_Payload):
    tokens: Tokens = Tokens()


class Empty(_Payload):
    pass


class HomeOpened(_Payload):
    """`view` is absent while nothing was ever published there."""

    user: SlackId
    tab: str | None = None
    view: dict[str, Any] | None = None


class RateLimited(_Payload):
    """A top-level type of its own: no event in it, and no event id."""

    minute_rate_limited: Seconds | None = None


class Envelope(_Payload):
    type: Annotated[str, Field(min_length=1, max_length=200)]
    team_id: str | None = None
    enterprise_id: str | None = None
    event_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    event_time: Seconds | None = None
    event: dict[str, Any] | None = None
    challenge: str | None = None
