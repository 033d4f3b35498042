"""What a workspace chose about being on call: hours, zone, working days, …; checked where it is written (S2.1)."""

import functools
import re
from datetime import date, datetime, time
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

import holidays
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from sqlalchemy import Connection

from db import workspace_settings
from handlers.oncall.model import DEFAULT_ROTATIONS, BlockLength, Rotation, Rules
from handlers.oncall.refusal import Refusal
from handlers.registry import Context

KEY = "oncall"  # of workspace_settings
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
NAMES = tuple(rotation.name for rotation in DEFAULT_ROTATIONS)
POOLS = {rotation.name: rotation.pools for rotation in DEFAULT_ROTATIONS}

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@functools.cache
def _countries() -> dict[str, list[str]]:
    """Subdivisions by country. Asking loads all calendars (0.5 s): once, and only where it matters."""
    return holidays.list_supported_countries()


@functools.cache
def _zones() -> frozenset[str]:
    """Asking walks through the folders of the time zones (10 ms), and settings are checked wherever they are read."""
    return frozenset(available_timezones())


def _days(value: Any) -> Any:
    return tuple(part for part in re.split(r"[,\s]+", value) if part) if isinstance(value, str) else value


def _nothing(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() in ("", "none", "-") else value


Optional = Annotated[str | None, BeforeValidator(_nothing)]


class OnCallSettings(BaseModel):
    """One workspace's. `hours`: local time by rotation, `18:00-02:00` ends the next day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str = "UTC"
    am: str = "09:00-12:00"
    core: str = "12:00-18:00"
    pm: str = "18:00-21:00"
    working_days: Annotated[tuple[str, ...], BeforeValidator(_days)] = DAYS[:5]
    block: BlockLength = BlockLength.WEEK
    freeze_days: int = Field(14, ge=0, le=90)
    horizon_days: int = Field(56, ge=7, le=366)
    plan_at: str = "02:00"
    country: Optional = None
    subdivision: Optional = None

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        if name not in _zones():
            raise ValueError("must be a time zone such as Europe/Berlin or America/New_York")
        return name

    @field_validator("am", "core", "pm")
    @classmethod
    def _are_hours(cls, hours: str) -> str:
        found = _HOURS.fullmatch(hours.replace("–", "-").replace(" ", ""))  # noqa: RUF001 - what people copy from a page
        if not found or found[0][:5] == found[0][6:]:
            raise ValueError("must be hours such as 09:00-12:00, the end after or before the start, not the same")
        return found[0]

    @field_validator("plan_at")
    @classmethod
    def _is_a_time(cls, clock: str) -> str:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", clock):
            raise ValueError("must be a time of day such as 02:00")
        return clock

    @field_validator("working_days")
    @classmethod
    def _are_days(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        named = {day[:3].title() for day in days}
        if not named or not named <= set(DAYS):
            raise ValueError("must be days such as Mon,Tue,Wed,Thu,Fri")
        return tuple(day for day in DAYS if day in named)

    @field_validator("country", "subdivision")
    @classmethod
    def _in_capitals(cls, code: str | None) -> str | None:
        return code.upper() if code else None

    @model_validator(mode="after")
    def _has_holidays(self) -> "OnCallSettings":
        if self.country is None:
            if self.subdivision is not None:
                raise ValueError("subdivision needs a country: set it too, such as country=DE subdivision=BE")
            return self
        known = _countries()
        if self.country not in known:
            raise ValueError("country must be a code such as US, DE or IN, or none")
        if self.subdivision is not None and self.subdivision not in known[self.country]:
            codes = ", ".join(known[self.country]) or "none"
            raise ValueError(f"subdivision of {self.country} must be one of {codes}")
        return self

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @property
    def rules(self) -> Rules:
        """The same as the planner takes it."""
        hours = {"AM": self.am, "Core": self.core, "PM": self.pm}
        rotations = tuple(
            Rotation(name, time.fromisoformat(hours[name][:5]), time.fromisoformat(hours[name][6:]), POOLS[name])
            for name in NAMES
        )
        working = frozenset(DAYS.index(day) for day in self.working_days)
        return Rules(rotations, working, self.block, self.freeze_days)

    def today(self, now: int) -> date:
        """The workspace's day at an instant (ms)."""
        return datetime.fromtimestamp(now / 1000, self.tz).date()

    def country_holidays(self, first: date, last: date) -> dict[date, str]:
        """What the library knows of these days, both inclusive."""
        if self.country is None:
            return {}
        years = range(first.year, last.year + 1)
        found = holidays.country_holidays(self.country, subdiv=self.subdivision, years=years)
        return {day: name for day, name in sorted(found.items()) if first <= day <= last}


def load(tx: Connection, context: Context) -> OnCallSettings:
    """What the workspace chose, and defaults for the rest."""
    return OnCallSettings.model_validate(workspace_settings.get(tx, context.workspace_id, KEY) or {})


def changed(held: OnCallSettings, changes: dict[str, Any]) -> OnCallSettings:
    """The settings with these changes, or a Refusal that names each that cannot be."""
    try:
        return OnCallSettings.model_validate(held.model_dump(mode="json") | changes)
    except ValidationError as error:
        raise Refusal("\n".join(_told(one) for one in error.errors(include_input=False, include_url=False))) from None


def store(tx: Connection, context: Context, wanted: OnCallSettings, now: int) -> None:
    """Keep what differs from the defaults, so that a better default reaches whoever did not choose."""
    chosen = wanted.model_dump(mode="json", exclude_defaults=True)
    workspace_settings.put(tx, context.workspace_id, KEY, chosen, now)


def _told(error: Any) -> str:
    said = error["msg"].removeprefix("Value error, ")
    name = error["loc"][0] if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return f"{name} is no setting; there are {', '.join(OnCallSettings.model_fields)}"
    return f"{name} {said}".strip()
