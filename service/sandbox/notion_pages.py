"""Notion's page endpoints. Nothing is idempotent: a repeated create makes a second page."""

from collections.abc import Callable
from typing import Any

from service.sandbox.notion_ask import Ask, listing
from service.sandbox.notion_errors import ARCHIVED, invalid, malformed, only, unsupported
from service.sandbox.notion_query import MAX_PAGE_SIZE, page_size
from service.sandbox.notion_render import TITLE
from service.sandbox.notion_schema import OPTION_TYPES, READ_ONLY
from service.sandbox.notion_store import DataSource, Page, Store
from service.sandbox.notion_values import Writing, read_properties
from service.sandbox.wire import Json

_PAGED = frozenset(("title", "rich_text", "relation", "people"))


def create_page(ask: Ask) -> Json:
    ask.allow("parent", "properties", "icon", "cover", "children", "content", "markdown", "template", "position")
    for name in ("content", "markdown", "template", "position"):
        if name in ask.body:
            unsupported(f"body.{name}")
    parent, source = _parent(ask)
    writing = read_properties(ask.store, finder(source), ask.body.get("properties", {}))
    children = ask.children()
    ask.check_decoration()
    values: Json = {}
    writing.commit(values)
    page = ask.store.new_page(parent, values)
    ask.decoration(page)
    page.children = children
    _number(page, source)
    return ask.render.page(page)


def retrieve_page(ask: Ask) -> Json:
    page = ask.store.page(ask.ids[0])
    return ask.render.page(page, chosen(ask, _source(ask.store, page)))


def update_page(ask: Ask) -> Json:
    page = ask.store.page(ask.ids[0])
    ask.allow_trash("properties", "icon", "cover", "is_locked", "is_archived", "template", "erase_content")
    for name in ("template", "erase_content"):
        if name in ask.body:
            unsupported(f"body.{name}")
    wish = ask.trash_wish()
    ask.editable(page, wish)
    source = _source(ask.store, page)
    writing = read_properties(ask.store, finder(source), ask.body.get("properties", {}))
    locked = ask.flag("is_locked", page.is_locked)
    archived = ask.flag("is_archived", page.is_archived)
    ask.check_decoration()
    ask.decoration(page)
    writing.commit(page.values)
    page.is_locked, page.is_archived = locked, archived
    page.in_trash = page.in_trash if wish is None else wish
    ask.store.touch(page)
    return ask.render.page(page)


def move_page(ask: Ask) -> Json:
    """The page keeps its id. What becomes of its properties is not documented; see `_carried`."""
    ask.allow("parent")
    page = ask.store.page(ask.ids[0])
    if page.in_trash:
        invalid(f"Page with ID {page.id} is in trash and cannot be moved. {ARCHIVED}")
    parent, target = _parent(ask)
    above = target or ask.store.pages[parent["page_id"]]
    if parent == page.parent:
        invalid("New parent must be different from the current parent.")
    if above is page or any(up is page for up in ask.store.ancestors(above)):
        invalid("Cannot move a page to itself or to one of its descendants.")
    origin = _source(ask.store, page)
    page.values = _carried(ask.store, page, origin, target)
    if origin is not None:
        del origin.pages[page.id]
    if target is not None:
        target.pages[page.id] = page
    page.parent = parent
    _number(page, target)
    ask.store.touch(page)
    return ask.render.page(page)


def retrieve_property(ask: Ask) -> Json:
    """One property whole: page reads stop at 25 references."""
    page = ask.store.page(ask.ids[0])
    prop = finder(_source(ask.store, page))(ask.ids[1])
    if prop is None:
        invalid(f"Could not find property with name or id: {ask.ids[1]}")
    type_, key = prop["type"], prop["id"]
    item: Json = {"object": "property_item", "type": type_, "id": key}
    if type_ not in _PAGED:
        return item | {type_: ask.render.property(page, prop)[type_]}
    size = page_size(ask.call.one("page_size") or MAX_PAGE_SIZE, "query.page_size")
    start = int(ask.call.one("start_cursor") or 0)
    whole = page.values.get(key) or []
    shown = [item | {type_: _single(ask, type_, entry)} for entry in whole[start : start + size]]
    cursor = str(start + size) if start + size < len(whole) else None
    about = {"id": key, "next_url": None, "type": type_, type_: {}}
    return listing(shown, cursor, "property_item") | {"property_item": about}


def finder(source: DataSource | None) -> Callable[[str], Json | None]:
    """Where property names are looked up; a page outside a data source has a title and nothing else."""
    return source.find if source else lambda name: TITLE if name == "title" else None


def chosen(ask: Ask, source: DataSource | None) -> frozenset[str] | None:
    """The property ids named by `filter_properties`; None for all."""
    asked = ask.call.query.get("filter_properties")
    if asked is None:
        return None
    find = finder(source)
    props = {name: find(name) for name in asked}
    for name, prop in props.items():
        if prop is None:
            invalid(f"Could not find property with name or id: {name}")
    return frozenset(prop["id"] for prop in props.values() if prop)


def _parent(ask: Ask) -> tuple[Json, DataSource | None]:
    given = ask.body.get("parent")
    if not isinstance(given, dict):
        malformed("body.parent", "defined", given)
    kind = given.get("type") or next((k for k in ("data_source_id", "page_id") if k in given), None)
    if kind == "data_source_id":
        only(given, frozenset(("type", "data_source_id", "database_id")), "body.parent")
        source = ask.store.data_source(given.get(kind), "body.parent.data_source_id")
        _not_trashed(ask, source)
        parent = {"type": kind, "data_source_id": source.id, "database_id": source.database_id}
        return parent, source
    if kind == "page_id":
        only(given, frozenset(("type", "page_id")), "body.parent")
        page = ask.store.page(given.get(kind), "body.parent.page_id")
        _not_trashed(ask, page)
        return {"type": kind, "page_id": page.id}, None
    return malformed("body.parent", "an object with a data_source_id or a page_id", ", ".join(given))


def _not_trashed(ask: Ask, node: DataSource | Page) -> None:
    if node.in_trash:
        invalid(ARCHIVED)
    ask.living(node)


def _source(store: Store, page: Page) -> DataSource | None:
    return store.data_sources.get(page.data_source_id or "")


def _number(page: Page, source: DataSource | None) -> None:
    for prop in source.schema.values() if source else ():
        if prop["type"] == "unique_id" and source:
            page.values[prop["id"]] = source.next_number
            source.next_number += 1


def _single(ask: Ask, type_: str, entry: Any) -> Any:
    if type_ == "people":
        return ask.render.user(entry)
    return {"id": entry} if type_ == "relation" else entry


def _carried(store: Store, page: Page, origin: DataSource | None, target: DataSource | None) -> Json:
    """What a move keeps here: properties with the same name and type on both sides; the rest is gone.

    The real carry-over is undocumented. Whoever needs more must write it again after the move; a test may have any
    of them lost (`Store.lost_in_moves`).
    """
    title = next((p["name"] for p in target.schema.values() if p["type"] == "title"), "") if target else ""
    lost = store.lost_in_moves
    kept: Json = {} if lost is None or title in lost else {"title": page.values.get("title", [])}
    if origin is None or target is None or lost is None:
        return kept
    writing = Writing(store)
    for prop in origin.schema.values():
        twin = target.schema.get(prop["name"])
        if twin is None or twin["type"] != prop["type"] or prop["name"] == title or prop["type"] in READ_ONLY:
            continue
        if prop["name"] in lost:
            continue
        value = page.values.get(prop["id"])
        kept[twin["id"]] = _same_options(writing, twin, value) if prop["type"] in OPTION_TYPES else value
    writing.commit(kept)
    return kept


def _same_options(writing: Writing, twin: Json, value: Any) -> Any:
    """Options of the target with the same names, made where they are missing."""
    if value is None:
        return None
    offered: list[Json] = twin[twin["type"]]["options"]
    wanted = value if isinstance(value, list) else [value]
    found = [next((o for o in offered if o["name"] == option["name"]), dict(option)) for option in wanted]
    writing.options += [(offered, option) for option in found if option not in offered]
    return found if isinstance(value, list) else found[0]
