"""What Notion answers: its objects as recorded traffic shows them, cut to what the token may see."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.sandbox.notion_dates import stamp
from service.sandbox.notion_store import Database, DataSource, Page, Store
from service.sandbox.notion_text import plain
from service.sandbox.wire import Json

MAX_REFERENCES = 25
LATEST = "2026-03-11"
_EMPTY: Json = {"title": [], "rich_text": [], "files": [], "checkbox": False}
_SLUG = re.compile(r"[^A-Za-z0-9]+")
TITLE: Json = {"id": "title", "name": "title", "type": "title", "title": {}}


@dataclass(slots=True)
class Capabilities:
    """What the integration's settings allow; False answers 403, or leaves addresses out."""

    read_content: bool = True
    insert_content: bool = True
    update_content: bool = True
    read_users: bool = True
    read_emails: bool = True


@dataclass(frozen=True, slots=True)
class Renderer:
    """One request's view: the API version decides `archived`, the capabilities decide addresses."""

    store: Store
    capabilities: Capabilities
    version: str = LATEST

    def user(self, user_id: str) -> Json:
        user = self.store.users.get(user_id)
        if user is None or not self.capabilities.read_users:
            return {"object": "user", "id": user_id}
        if self.capabilities.read_emails or "person" not in user:
            return user
        return user | {"person": {}}

    def page(self, page: Page, only: Collection[str] | None = None) -> Json:
        """`only` holds the property ids asked for with filter_properties."""
        source = self.store.data_sources.get(page.data_source_id or "")
        schema = source.schema if source else {"title": TITLE}
        title = plain(page.values.get("title") or [])
        return {
            "object": "page",
            "id": page.id,
            **self._times(page),
            **self._authors(page.created_by),
            "cover": page.cover,
            "icon": page.icon,
            "parent": page.parent,
            "in_trash": page.in_trash,
            "is_archived": page.is_archived,
            "is_locked": page.is_locked,
            "properties": {
                name: self.property(page, prop) for name, prop in schema.items() if only is None or prop["id"] in only
            },
            "url": _url(page.id, title),
            "public_url": None,
            **self._archived(page.in_trash),
        }

    def property(self, page: Page, prop: Json) -> Json:
        type_ = prop["type"]
        answer: Json = {"id": prop["id"], "type": type_, type_: self._value(page, prop)}
        if type_ == "relation":
            answer["has_more"] = len(page.values.get(prop["id"]) or ()) > MAX_REFERENCES
        return answer

    def _value(self, page: Page, prop: Json) -> Any:
        type_, value = prop["type"], page.values.get(prop["id"])
        match type_:
            case "select" | "status":
                shown = value and _chosen(value)
            case "multi_select":
                shown = [_chosen(option) for option in value or ()]
            case "people":
                shown = [self.user(user_id) for user_id in (value or ())[:MAX_REFERENCES]]
            case "relation":
                shown = [{"id": page_id} for page_id in (value or ())[:MAX_REFERENCES]]
            case "unique_id":
                shown = {"prefix": prop["unique_id"]["prefix"], "number": value}
            case "formula":  # never computed: a formula made through the API may stay untyped
                shown = {"type": "string", "string": None}
            case "created_by" | "last_edited_by":
                shown = self.user(page.created_by)
            case "created_time" | "last_edited_time":
                shown = stamp(getattr(page, type_))
            case _:
                shown = _EMPTY.get(type_) if value is None else value
        return shown

    def data_source(self, source: DataSource) -> Json:
        database = self.store.databases[source.database_id]
        return {
            "object": "data_source",
            "id": source.id,
            "cover": None,
            "icon": source.icon,
            **self._times(source),
            **self._authors(self.store.bot["id"]),
            "title": source.title,
            "description": source.description,
            "is_inline": database.is_inline,
            "properties": source.schema,
            "parent": {"type": "database_id", "database_id": source.database_id},
            "database_parent": database.parent,
            "url": _url(source.database_id),
            "public_url": None,
            "in_trash": source.in_trash,
            **self._archived(source.in_trash),
        }

    def database(self, database: Database) -> Json:
        sources = [self.store.data_sources[source_id] for source_id in database.data_sources]
        return {
            "object": "database",
            "id": database.id,
            "title": database.title,
            "description": database.description,
            "parent": database.parent,
            "is_inline": database.is_inline,
            "in_trash": database.in_trash,
            "is_locked": database.is_locked,
            "created_time": _precise(database.created_time),
            "last_edited_time": _precise(database.last_edited_time),
            "data_sources": [{"id": s.id, "name": plain(s.title)} for s in sources if not s.in_trash],
            "icon": database.icon,
            "cover": database.cover,
            "url": _url(database.id),
            "public_url": None,
            **self._archived(database.in_trash),
        }

    def _archived(self, in_trash: bool) -> Json:
        return {} if self.version >= LATEST else {"archived": in_trash}

    def _times(self, node: Page | DataSource) -> Json:
        return {
            "created_time": stamp(node.created_time),
            "last_edited_time": stamp(node.last_edited_time),
        }

    def _authors(self, user_id: str) -> Json:
        author = {"object": "user", "id": user_id}
        return {"created_by": author, "last_edited_by": author}


def _chosen(option: Json) -> Json:
    return {"id": option["id"], "name": option["name"], "color": option["color"]}


def _precise(moment: datetime) -> str:
    """Databases, unlike pages, show milliseconds."""
    return moment.isoformat(timespec="milliseconds")


def _url(node_id: str, title: str = "") -> str:
    slug = _SLUG.sub("-", title).strip("-")
    return f"https://app.notion.com/p/{slug}-{node_id.replace('-', '')}".replace("/p/-", "/p/")
