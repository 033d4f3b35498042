"""Reasons as they are stored: by number, never by name, so that history forgets nobody's name for having kept none."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from handlers.oncall.model import Member, Reason

MENTION = re.compile(r"<(\d{1,18})>")


def stored(reason: Reason, members: Iterable[Member]) -> dict[str, Any]:
    """The JSON of a reason, names replaced by `<number>`."""
    ids = {member.name: member.id for member in members}
    longest_first = sorted(ids, key=len, reverse=True)
    named = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)") if ids else None

    def masked(text: str) -> str:
        return named.sub(lambda found: f"<{ids[found[0]]}>", text) if named else text

    whole = reason.as_json()
    candidates = [_nameless(one) for one in whole["candidates"]]
    excluded = [_nameless(one) | {"why": masked(one["why"])} for one in whole["excluded"]]
    return {**whole, "candidates": candidates, "excluded": excluded, "why": masked(whole["why"])}


def read(kept: Mapping[str, Any], name: Callable[[int], str]) -> Reason | None:
    """The reverse, with the names people have now; None where nothing was decided (an import)."""
    if "candidates" not in kept:
        return None

    def told(text: str) -> str:
        return MENTION.sub(lambda found: name(int(found[1])), text)

    candidates = [{**one, "name": name(one["person"])} for one in kept["candidates"]]
    excluded = [{**one, "name": name(one["person"]), "why": told(one["why"])} for one in kept["excluded"]]
    return Reason.from_json({**kept, "candidates": candidates, "excluded": excluded, "why": told(kept["why"])})


def people_in(kept: Mapping[str, Any]) -> set[int]:
    """Everybody a stored reason speaks of."""
    spoken = (*kept.get("candidates", ()), *kept.get("excluded", ()))
    return {one["person"] for one in spoken} | {int(id_) for id_ in MENTION.findall(str(kept.get("why", "")))}


def _nameless(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key != "name"}
