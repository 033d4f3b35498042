"""A data source of ours: its schema, what a found one lacks, and how plain values become properties and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from handlers.pages import Page

Json = dict[str, Any]

KEY = "Rollcall key"
TEXT_LIMIT = 2000  # Notion's, for one text
_MINUTE = "%Y-%m-%dT%H:%MZ"


@dataclass(frozen=True, slots=True)
class Table:
    """`schema`: property names to Notion's types, our key among them; `options`: what its selects must offer."""

    title: str
    schema: Mapping[str, str]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def wanted_properties(self) -> Json:
        """The schema as `databases.create` takes it."""
        return {name: {kind: self._config(name)} for name, kind in self.schema.items()}

    def _config(self, name: str) -> Json:
        return {"options": [{"name": option} for option in self.options[name]]} if name in self.options else {}

    def differences(self, found: Mapping[str, Any]) -> list[str]:
        """What a data source's properties lack or have otherwise, in words; nothing when it fits (S2.12)."""
        differences = []
        for name, kind in self.schema.items():
            has = found.get(name)
            if has is None and kind == "title":
                called = next((other for other, one in found.items() if one.get("type") == kind), "")
                differences.append(f"the title column is called {called!r}; rename it to {name!r} in Notion")
            elif has is None:
                differences.append(f"{name!r} is missing; it must be of type {kind}")
            elif has.get("type") != kind:
                differences.append(f"{name!r} is of type {has.get('type')}; it must be {kind}")
            elif name in self.options:
                options = {option["name"] for option in has[kind].get("options", ())}
                lacking = [option for option in self.options[name] if option not in options]
                differences.extend(f"{name!r} has no option {option!r}" for option in lacking)
        return differences

    def missing(self, found: Mapping[str, Any]) -> Json:
        """Columns that can be added without touching anything that is there."""
        return {name: config for name, config in self.wanted_properties().items() if name not in found}

    def to_properties(self, key: str, page: Page, zone: tzinfo = UTC) -> Json:
        """As pages.create and pages.update take it; `zone`: on whose wall clock its times are written."""
        return {name: _to_value(self.schema[name], value, zone) for name, value in {**page, KEY: key}.items()}

    def from_properties(self, properties: Mapping[str, Any]) -> tuple[str | None, dict[str, str | None]]:
        """Our key and the page, from what Notion reads back."""
        page = {name: _from_value(properties.get(name) or {}) for name in self.schema}
        return page.pop(KEY), page


def span(start: int, end: int) -> str:
    """Two instants (ms) as a date property's value: to the minute, for Notion keeps no seconds."""
    return "/".join(datetime.fromtimestamp(ms / 1000, UTC).strftime(_MINUTE) for ms in (start, end))


def _to_value(kind: str, value: str | None, zone: tzinfo) -> Json:
    if kind in ("title", "rich_text"):
        return {kind: [{"text": {"content": value}}] if value else []}
    if kind == "people":
        return {kind: [{"object": "user", "id": value}] if value else []}
    if kind == "select":
        return {kind: {"name": value} if value else None}
    if kind == "date":
        return {kind: _to_date(value, zone) if value else None}
    return {kind: value}


def _to_date(value: str, zone: tzinfo) -> Json:
    """With the zone's offset, not its name: a local time that comes twice would be either of two instants."""
    start, end = (datetime.fromisoformat(part).astimezone(zone).isoformat() for part in value.split("/"))
    return {"start": start, "end": end}


def _from_value(value: Mapping[str, Any]) -> str | None:
    kind = value.get("type")
    inner = value.get(kind) if kind else None
    if not inner:
        return None
    if kind in ("title", "rich_text"):
        return "".join(part.get("plain_text", "") for part in inner) or None
    if kind == "people":
        return str(inner[0]["id"]) if len(inner) == 1 else ",".join(sorted(one["id"] for one in inner))
    if kind == "date":
        return "/".join(_instant(inner[end]) for end in ("start", "end") if inner.get(end))
    return str(inner["name"] if kind == "select" else inner)


def _instant(written: str) -> str:
    """The same instant reads the same whatever zone Notion folded it into; a day without a time stays a day."""
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return written
    return written if len(written) == len("2026-12-24") else moment.astimezone(UTC).strftime(_MINUTE)
