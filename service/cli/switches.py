"""Which parts of each platform the settings switch on, and which setting is missing for the others."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from service.settings import Settings

NEEDS = {
    "clerk webhooks": ("clerk_webhook_signing_secret",),
    "slack events": ("slack_signing_secret",),
    "slack commands": ("slack_signing_secret", "slack_bot_token"),
    "slack alerts": ("slack_bot_token", "slack_alert_channel"),
    "notion pages": ("notion_api_token", "notion_people_data_source_id"),
    "notion calendar": (
        "notion_api_token",
        "notion_calendar_data_source_id",
        "notion_past_calendar_data_source_id",
    ),
}


@dataclass(frozen=True, slots=True)
class Switch:
    """One direction of one platform; `why` says what is missing where it is off."""

    name: str
    why: str | None

    @property
    def on(self) -> bool:
        return self.why is None

    def __str__(self) -> str:
        return f"{self.name} on" if self.on else f"{self.name} off: {self.why}"


def switches(settings: Settings) -> list[Switch]:
    return [Switch(name, missing(settings, needs)) for name, needs in NEEDS.items()]


def missing(settings: Settings, names: Iterable[str]) -> str | None:
    """The first of these settings that is not set, in words."""
    return next((f"{name.upper()} is not set" for name in names if not _held(settings, name)), None)


def _held(settings: Settings, name: str) -> Any:
    return getattr(settings, name)
