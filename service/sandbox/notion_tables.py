"""Notion's database and data source endpoints, as they are since 2025-09-03; queries; a small search."""

from service.sandbox.notion_ask import Ask, listing
from service.sandbox.notion_errors import ARCHIVED, invalid, malformed, only, unsupported
from service.sandbox.notion_pages import chosen
from service.sandbox.notion_query import MAX_PAGE_SIZE, cut, matching, page_size
from service.sandbox.notion_schema import change_schema, new_schema
from service.sandbox.notion_store import Database, DataSource
from service.sandbox.notion_text import plain, written_text
from service.sandbox.wire import Json

_DEFAULT_PROPERTIES: Json = {"Name": {"title": {}}}


def create_database(ask: Ask) -> Json:
    """`properties` belong into `initial_data_source`; beside it, as in old versions, they are refused."""
    ask.allow("parent", "title", "description", "is_inline", "initial_data_source", "icon", "cover")
    parent = ask.body.get("parent")
    if not isinstance(parent, dict) or "page_id" not in parent:
        malformed("body.parent.page_id", "defined", parent)
    only(parent, frozenset(("type", "page_id")), "body.parent")
    page = ask.store.page(parent["page_id"], "body.parent.page_id")
    ask.editable(page, None)
    title = written_text(ask.body.get("title", []), "body.title")
    description = written_text(ask.body.get("description", []), "body.description")
    initial = ask.object_or_null("initial_data_source") or {}
    only(initial, frozenset(("properties",)), "body.initial_data_source")
    wanted = initial.get("properties", _DEFAULT_PROPERTIES)
    schema = new_schema(ask.store, wanted, "body.initial_data_source.properties")
    inline = ask.flag("is_inline", default=False)
    ask.check_decoration()
    database = ask.store.new_database({"type": "page_id", "page_id": page.id}, title)
    database.description, database.is_inline = description, inline
    ask.decoration(database)
    ask.store.new_data_source(database, title, schema)
    return ask.render.database(database)


def retrieve_database(ask: Ask) -> Json:
    return ask.render.database(ask.store.database(ask.ids[0]))


def update_database(ask: Ask) -> Json:
    database = ask.store.database(ask.ids[0])
    ask.allow_trash("parent", "title", "description", "is_inline", "icon", "cover", "is_locked")
    ask.editable(database, ask.trash_wish())
    title, description = _titles(ask, database)
    ask.check_decoration()
    locked, inline = ask.flag("is_locked", database.is_locked), ask.flag("is_inline", database.is_inline)
    database.is_locked, database.is_inline = locked, inline
    _settle(ask, database, title, description)
    return ask.render.database(database)


def create_data_source(ask: Ask) -> Json:
    ask.allow("parent", "properties", "title", "icon")
    parent = ask.body.get("parent")
    if not isinstance(parent, dict) or "database_id" not in parent:
        malformed("body.parent.database_id", "defined", parent)
    database = ask.store.database(parent["database_id"], "body.parent.database_id")
    ask.editable(database, None)
    title = written_text(ask.body.get("title", []), "body.title")
    schema = new_schema(ask.store, ask.body.get("properties"), "body.properties")
    ask.check_decoration()
    source = ask.store.new_data_source(database, title, schema)
    ask.decoration(source)
    return ask.render.data_source(source)


def retrieve_data_source(ask: Ask) -> Json:
    return ask.render.data_source(ask.store.data_source(ask.ids[0]))


def update_data_source(ask: Ask) -> Json:
    source = ask.store.data_source(ask.ids[0])
    ask.allow_trash("parent", "title", "description", "properties", "icon")
    ask.editable(source, ask.trash_wish())
    title, description = _titles(ask, source)
    ask.check_decoration()
    if "properties" in ask.body:
        change_schema(ask.store, source, ask.body["properties"])
    _settle(ask, source, title, description)
    return ask.render.data_source(source)


def query_data_source(ask: Ask) -> Json:
    source = ask.store.data_source(ask.ids[0])
    ask.allow("filter", "sorts", "start_cursor", "page_size", "result_type", "is_archived")
    if source.in_trash or ask.store.trashed_above(source):
        invalid(ARCHIVED)
    shown = chosen(ask, source)
    archived = ask.flag("is_archived", default=False)
    rows = matching(ask.store, source, ask.body, archived=archived)
    part, cursor, incomplete = cut(rows, source, ask.body, ask.salt, ask.row_limit)
    answer = listing([ask.render.page(page, shown) for page in part], cursor, "page_or_data_source")
    if incomplete:
        answer["request_status"] = {
            "type": "incomplete",
            "incomplete_reason": "query_result_limit_reached",
        }
    return answer


def search(ask: Ask) -> Json:
    """Pages and data sources by title."""
    ask.allow("query", "filter", "sort", "start_cursor", "page_size")
    wanted = ask.body.get("query", "")
    if not isinstance(wanted, str):
        malformed("body.query", "a string", wanted)
    kind = _searched(ask.body.get("filter"))
    needle = wanted.casefold()
    found: list[Json] = []
    if kind in (None, "data_source"):
        found += [
            ask.render.data_source(source)
            for source in ask.store.data_sources.values()
            if not source.in_trash and needle in plain(source.title).casefold()
        ]
    if kind in (None, "page"):
        found += [
            ask.render.page(page)
            for page in ask.store.pages.values()
            if not page.in_trash and needle in plain(page.values.get("title") or []).casefold()
        ]
    return _searched_part(ask, found)


def _searched(given: object) -> str | None:
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("property") != "object":
        malformed("body.filter.property", '"object"', given)
    if given.get("value") not in ("page", "data_source"):
        malformed("body.filter.value", '"page" or "data_source"', given.get("value"))
    return str(given["value"])


def _searched_part(ask: Ask, found: list[Json]) -> Json:
    size = page_size(ask.body.get("page_size", MAX_PAGE_SIZE), "body.page_size")
    ids = [item["id"] for item in found]
    cursor = ask.body.get("start_cursor")
    if cursor is not None and cursor not in ids:
        invalid(f"start_cursor provided is invalid: {cursor}")
    start = ids.index(cursor) if cursor is not None else 0
    following = ids[start + size] if start + size < len(ids) else None
    return listing(found[start : start + size], following, "page_or_data_source")


def _titles(ask: Ask, node: Database | DataSource) -> tuple[list[Json], list[Json]]:
    title = written_text(ask.body["title"], "body.title") if "title" in ask.body else node.title
    if "parent" in ask.body:
        unsupported("moving databases and data sources")
    if "description" not in ask.body:
        return title, node.description
    return title, written_text(ask.body["description"], "body.description")


def _settle(ask: Ask, node: Database | DataSource, title: list[Json], description: list[Json]) -> None:
    """What databases and data sources have in common, changed once all of the body is known to be valid."""
    wish = ask.trash_wish()
    node.title, node.description = title, description
    node.in_trash = node.in_trash if wish is None else wish
    ask.decoration(node)
    ask.store.touch(node)
