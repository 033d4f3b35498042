"""Queries: sorting that puts the empty last, cursors that forget nothing, and an order nobody may rely on."""

import re
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from service.sandbox.notion_dates import instant, parsed_date
from service.sandbox.notion_errors import invalid, malformed
from service.sandbox.notion_filter import TIMES, compile_filter
from service.sandbox.notion_schema import OPTION_TYPES
from service.sandbox.notion_store import DataSource, Page, Store
from service.sandbox.notion_text import plain
from service.sandbox.wire import Json

MAX_PAGE_SIZE = 100
_CURSOR = re.compile(r"s:([0-9a-f]{8})-([0-9a-f]+):([0-9a-f-]{36})")


def page_size(raw: object, path: str) -> int:
    """Up to 100; 400 beyond, and for null. Query strings arrive as text."""
    number = int(raw) if isinstance(raw, str) and raw.isdecimal() else raw
    if isinstance(number, bool) or not isinstance(number, int):
        malformed(path, "a number", raw)
    if number > MAX_PAGE_SIZE:
        malformed(path, f"≤ `{MAX_PAGE_SIZE}`", number)
    if number < 1:
        malformed(path, "≥ `1`", number)
    return number


def matching(store: Store, source: DataSource, body: Json, *, archived: bool = False) -> list[Page]:
    """The rows a query means, out of the trash, in no order."""
    rows = [p for p in list(source.pages.values()) if not p.in_trash and p.is_archived is archived]
    if "filter" not in body:
        return rows
    test = compile_filter(source, body["filter"], store.clock())
    return [page for page in rows if test(page)]


def cut(rows: list[Page], source: DataSource, body: Json, salt: int, limit: int) -> tuple[list[Page], str | None, bool]:
    """One page of an answer: the rows, the cursor to the next, and whether the 10,000-row limit cut it short.

    Rows that sort alike come in an order that differs from query to query and stays along one's cursors.
    """
    size = page_size(body.get("page_size", MAX_PAGE_SIZE), "body.page_size")
    salt, offset, last_id = _parsed(body["start_cursor"]) if "start_cursor" in body else (salt, 0, None)
    rows.sort(key=lambda page: crc32(page.scatter.to_bytes(4, "big"), salt))
    _sort(rows, body.get("sorts", []), source)
    start = _resume(rows, offset, last_id)
    end = min(start + size, limit)
    part = rows[start:end]
    incomplete = end >= limit and len(rows) > limit
    if not part or end >= len(rows) or end >= limit:
        return part, None, incomplete
    return part, f"s:{salt:08x}-{end:x}:{part[-1].id}", False


def _parsed(cursor: object) -> tuple[int, int, str | None]:
    found = _CURSOR.fullmatch(cursor) if isinstance(cursor, str) else None
    if found is None:
        invalid(f"start_cursor provided is invalid: {cursor}")
    return int(found[1], 16), int(found[2], 16), found[3]


def _resume(rows: Sequence[Page], offset: int, last_id: str | None) -> int:
    """After the row the last part ended with, wherever it stands now; if it is gone, where it stood."""
    if last_id is None:
        return 0
    return next((index + 1 for index, page in enumerate(rows) if page.id == last_id), offset)


def _sort(rows: list[Page], sorts: object, source: DataSource) -> None:
    if not isinstance(sorts, list):
        malformed("body.sorts", "an array", sorts)
    # Python sorts stably, so the least important key goes first.
    for index, sort in reversed(list(enumerate(sorts))):
        path = f"body.sorts[{index}]"
        if not isinstance(sort, dict) or sort.get("direction") not in ("ascending", "descending"):
            malformed(f"{path}.direction", '"ascending" or "descending"', sort)
        key = _key(sort, source, path)
        full = [page for page in rows if key(page) is not None]
        empty = [page for page in rows if key(page) is None]
        full.sort(key=key, reverse=sort["direction"] == "descending")
        rows[:] = full + empty


def _key(sort: Json, source: DataSource, path: str) -> Callable[[Page], Any]:
    which = sort.get("timestamp")
    if which in TIMES:
        return lambda page: getattr(page, which)
    name = sort.get("property")
    if not isinstance(name, str):
        malformed(path, "a sort by a property or a timestamp", sort)
    prop = source.find(name)
    if prop is None:
        invalid(f"Could not find sort property with name or id: {name}")
    return _property_key(prop)


def _property_key(prop: Json) -> Callable[[Page], Any]:
    type_, key = prop["type"], prop["id"]
    if type_ in TIMES:
        return lambda page: getattr(page, type_)
    if type_ in ("title", "rich_text"):
        return lambda page: plain(page.values.get(key) or []).casefold() or None
    if type_ in OPTION_TYPES:
        order = {option["id"]: index for index, option in enumerate(prop[type_]["options"])}
        return lambda page: _rank(page.values.get(key), order)
    if type_ == "date":
        return lambda page: _begin(page.values.get(key))
    if type_ == "checkbox":
        return lambda page: bool(page.values.get(key))
    return lambda page: None if (value := page.values.get(key)) in ("", []) else value


def _rank(value: Any, order: dict[str, int]) -> int | None:
    first = value[0] if isinstance(value, list) and value else value
    return order.get(first["id"]) if first else None


def _begin(value: Json | None) -> Any:
    parsed = parsed_date(value["start"]) if value else None
    return None if parsed is None else instant(parsed)
