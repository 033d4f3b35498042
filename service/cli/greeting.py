"""The one line a process prints once it is at work."""

from importlib.metadata import version
from typing import Any

from pydantic_core import to_json

from service.cli.switches import switches
from service.settings import Settings


def greeting(settings: Settings, where: dict[str, Any], *, as_json: bool) -> str:
    """The version, where it is at work, and what is on or off and why."""
    parts, known = switches(settings), version("rollcall")
    if as_json:
        platforms = [{"name": part.name, "on": part.on, "why": part.why} for part in parts]
        return to_json({"version": known, **where, "platforms": platforms}).decode()
    return " · ".join((f"Rollcall {known}", *map(str, where.values()), *map(str, parts)))
