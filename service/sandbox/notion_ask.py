"""What every Notion endpoint is given, and the checks that several of them share."""

from dataclasses import dataclass
from typing import Any

from service.sandbox.notion_errors import ARCHIVED, ARCHIVED_PARENT, invalid, malformed, only
from service.sandbox.notion_render import LATEST, Renderer
from service.sandbox.notion_store import Database, DataSource, Node, Page, Store
from service.sandbox.notion_text import MAX_ARRAY
from service.sandbox.wire import Call, Json


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, its path's ids and its parsed body. `salt` scatters unordered answers."""

    call: Call
    ids: tuple[str, ...]
    body: Json
    store: Store
    render: Renderer
    row_limit: int = 10_000
    salt: int = 0

    def allow(self, *keys: str) -> None:
        """Refuses any other key of the body."""
        only(self.body, frozenset(keys))

    def allow_trash(self, *keys: str) -> None:
        """The same for what can be trashed; `archived` is gone since 2026-03-11."""
        self.allow(*keys, "in_trash", *(() if self.render.version >= LATEST else ("archived",)))

    def trash_wish(self) -> bool | None:
        """`in_trash`, or `archived` where the version still has it; None when neither was sent."""
        names = ("in_trash",) if self.render.version >= LATEST else ("in_trash", "archived")
        wishes: set[bool] = set()
        for name in names:
            if name in self.body:
                if not isinstance(self.body[name], bool):
                    malformed(f"body.{name}", "a boolean", self.body[name])
                wishes.add(self.body[name])
        if len(wishes) > 1:
            invalid("body.archived and body.in_trash must not contradict each other.")
        return wishes.pop() if wishes else None

    def check_decoration(self) -> None:
        """Icon and cover; only their outer shape is looked at."""
        self.object_or_null("icon")
        self.object_or_null("cover")

    def decoration(self, node: Page | Database | DataSource) -> None:
        """Sets icon and cover where they were sent and, by `check_decoration`, found valid."""
        for name in ("icon", "cover"):
            if name in self.body:
                setattr(node, name, self.body[name])

    def object_or_null(self, name: str) -> Json | None:
        value = self.body.get(name)
        if value is not None and not isinstance(value, dict):
            malformed(f"body.{name}", "an object or `null`", value)
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.body.get(name, default)
        if not isinstance(value, bool):
            malformed(f"body.{name}", "a boolean", value)
        return value

    def children(self) -> list[Json]:
        """Blocks are counted and kept, not looked into: the sandbox has no block endpoints."""
        blocks = self.body.get("children", [])
        if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
            malformed("body.children", "an array of objects", blocks)
        if len(blocks) > MAX_ARRAY:
            malformed("body.children.length", f"≤ `{MAX_ARRAY}`", len(blocks))
        return blocks

    def editable(self, node: Node, wish: bool | None) -> None:
        """Nothing in the trash can be edited; it can only be taken out."""
        if node.in_trash and wish is not False:
            invalid(ARCHIVED)
        self.living(node)

    def living(self, node: Node) -> None:
        if self.store.trashed_above(node):
            invalid(ARCHIVED_PARENT)


def listing(results: list[Any], cursor: str | None, kind: str, **more: Any) -> Json:
    return {
        "object": "list",
        "results": results,
        "next_cursor": cursor,
        "has_more": cursor is not None,
        "type": kind,
        kind: {},
        **more,
    }
