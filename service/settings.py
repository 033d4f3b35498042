"""Every setting, from the environment and `.env`, checked before anything starts.

A value that cannot work stops the start with its name, what is wrong and the fix. A platform without its
secret is off: its route is 404 and no marks are raised for it.
"""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticUseDefault
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from db.database import WrongDatabase, database_file
from handlers.addresses import address
from handlers.clerk.signature import WrongSecret, key_of

EMBEDDED, WORKER = "embedded", "worker"  # who delivers marks: `rollcall serve` itself, or `rollcall worker`
LEAST_DAYS_OF_MARKS = 7
PLAIN = re.compile(r"[!-~]+")  # what a header takes; another letter fails in each request, as each mark's own fault
SLOWEST_RATE = 0.25  # requests a second: slower, and a slot lies beyond what a lease waits for (service/limiter.py)


class SettingsError(Exception):
    """The settings cannot work; each line of the message names one, what is wrong, and the fix."""


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
    return value


Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
Emails = Annotated[frozenset[str], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """One frozen object. Field names in capitals are the environment's names; docs/operations.md explains each."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: str = "sqlite:///rollcall.db"
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    web_concurrency: int = Field(1, ge=1, le=64)
    admin_emails: Emails = frozenset()
    log_level: str = "INFO"
    log_format: str = "auto"
    relay: str = EMBEDDED

    keep_event_bodies_days: int = Field(30, ge=0, le=36_500)
    keep_sync_logs_days: int = Field(90, ge=0, le=36_500)
    keep_settled_marks_days: int = Field(90, ge=0, le=36_500)
    backup_dir: str | None = None
    backup_every_minutes: int = Field(30, ge=1, le=10_080)
    backup_keep_days: int = Field(7, ge=1, le=3_650)

    clerk_webhook_signing_secret: Secrets = ()
    clerk_secret_key: SecretStr | None = None
    clerk_base_url: str = "https://api.clerk.com/v1"

    slack_signing_secret: Secrets = ()
    slack_bot_token: SecretStr | None = None
    slack_alert_channel: str | None = None
    slack_oncall_channel: str | None = None
    slack_oncall_usergroup: str | None = None
    slack_base_url: str = "https://slack.com/api/"

    notion_api_token: SecretStr | None = None
    notion_people_data_source_id: str | None = None
    notion_calendar_data_source_id: str | None = None
    notion_past_calendar_data_source_id: str | None = None
    notion_base_url: str = "https://api.notion.com"
    notion_requests_per_second: float = Field(3.0, ge=0, le=1000)

    @field_validator("*", mode="before")
    @classmethod
    def _blank_is_unset(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            raise PydanticUseDefault
        return value

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, url: str) -> str:
        try:
            database_file(url)
        except WrongDatabase as error:
            raise ValueError(str(error)) from None
        return url

    @field_validator("keep_settled_marks_days")
    @classmethod
    def _outlives_its_occasion(cls, days: int) -> int:
        if 0 < days < LEAST_DAYS_OF_MARKS:
            raise ValueError(f"must be 0 (for ever) or at least {LEAST_DAYS_OF_MARKS}: its key keeps an alert to once")
        return days

    @field_validator("clerk_webhook_signing_secret")
    @classmethod
    def _are_signing_secrets(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            try:
                key_of(secret.get_secret_value())
            except WrongSecret as error:
                raise ValueError(str(error)) from None
        return secrets

    @field_validator("slack_signing_secret")
    @classmethod
    def _are_slack_secrets(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            text = secret.get_secret_value()
            if len(text) < 16 or not (text.isascii() and text.isalnum()):  # noqa: PLR2004 - Slack's have 32 hexadecimal digits
                raise ValueError("must be the 32 characters under Basic Information > Signing Secret")
        return secrets

    @field_validator("clerk_secret_key")
    @classmethod
    def _is_clerk_key(cls, secret: SecretStr | None) -> SecretStr | None:
        return _must_start(secret, ("sk_",), "must start with sk_; copy it from Clerk's API keys page")

    @field_validator("slack_bot_token")
    @classmethod
    def _is_bot_token(cls, secret: SecretStr | None) -> SecretStr | None:
        return _must_start(secret, ("xoxb-",), "must start with xoxb-; copy it from OAuth & Permissions")

    @field_validator("notion_api_token")
    @classmethod
    def _is_a_token(cls, secret: SecretStr | None) -> SecretStr | None:
        return _must_start(
            secret, ("",), "must be plain letters without spaces; copy it from the integration's page in Notion"
        )

    @field_validator("admin_emails")
    @classmethod
    def _are_addresses(cls, emails: frozenset[str]) -> frozenset[str]:
        good = frozenset(found for email in emails if (found := address(email)))
        if len(good) != len({email.lower() for email in emails}):
            raise ValueError("must be e-mail addresses separated by commas")
        return good

    @field_validator("clerk_base_url", "slack_base_url", "notion_base_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise ValueError("must be an http or https URL such as https://api.example.com")
        return url.rstrip("/")

    @field_validator("notion_past_calendar_data_source_id")
    @classmethod
    def _is_another_calendar(cls, past: str | None, held: ValidationInfo) -> str | None:
        current = held.data.get("notion_calendar_data_source_id")
        if past and current and past.replace("-", "") == current.replace("-", ""):
            raise ValueError(
                "must not be the data source of NOTION_CALENDAR_DATA_SOURCE_ID: past shifts are moved out of it"
            )
        return past

    @field_validator("notion_requests_per_second")
    @classmethod
    def _is_a_rate(cls, rate: float) -> float:
        if 0 < rate < SLOWEST_RATE:
            raise ValueError("must be 0 (no limit of our own) or at least 0.25")
        return rate

    @field_validator("log_level")
    @classmethod
    def _is_a_level(cls, level: str) -> str:
        if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return level.upper()

    @field_validator("log_format")
    @classmethod
    def _is_a_format(cls, form: str) -> str:
        if form.lower() not in ("auto", "json", "console"):
            raise ValueError("must be auto, json or console")
        return form.lower()

    @field_validator("relay")
    @classmethod
    def _is_a_relay(cls, relay: str) -> str:
        if relay.lower() not in (EMBEDDED, WORKER):
            raise ValueError("must be embedded (`rollcall serve` delivers) or worker (`rollcall worker` does)")
        return relay.lower()

    @property
    def calendar(self) -> tuple[str, str] | None:
        """The two data sources of the on-call calendar, or None where it is off."""
        current, past = self.notion_calendar_data_source_id, self.notion_past_calendar_data_source_id
        return (current, past) if current and past else None

    @property
    def sinks(self) -> frozenset[str]:
        """The platforms marks are raised for."""
        on = set()
        if self.notion_api_token and (self.notion_people_data_source_id or self.calendar):
            on.add("notion")
        if self.slack_bot_token and self.slack_alert_channel:
            on.add("slack")
        return frozenset(on)


def load(**overrides: Any) -> Settings:
    """The settings as they stand. SettingsError lists everything that is wrong at once."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for one in error.errors(include_input=False, include_url=False):
            name = str(one["loc"][0]).upper() if one["loc"] else "settings"
            lines.append(f"{name} {one['msg'].removeprefix('Value error, ')}")
        raise SettingsError("\n".join(lines)) from None


def plain(secrets: tuple[SecretStr, ...]) -> tuple[str, ...]:
    return tuple(secret.get_secret_value() for secret in secrets)


def _must_start(secret: SecretStr | None, prefixes: tuple[str, ...], otherwise: str) -> SecretStr | None:
    if secret is not None:
        text = secret.get_secret_value()
        if not text.startswith(prefixes) or not PLAIN.fullmatch(text):
            raise ValueError(otherwise)
    return secret
