"""Notion's memory: pages, data sources, databases and people of one workspace, each a plain record."""

import random
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import unquote

from service.sandbox.notion_errors import malformed, refuse
from service.sandbox.wire import Json

_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[1-8][0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}", re.IGNORECASE)
_NIL = "0" * 32
_INVISIBLE = (
    "Make sure your integration has capabilities to read user information. With those capabilities, only "
    "members and guests in the integration's workspace are visible."
)
_UNSHARED = 'Make sure the relevant pages and databases are shared with your integration "{name}".'


@dataclass(slots=True)
class Page:
    """A page. `values` are by property id, in the shape they are read in; people and relations are ids."""

    id: str
    parent: Json
    values: Json
    created_time: datetime
    last_edited_time: datetime
    created_by: str
    scatter: int
    in_trash: bool = False
    is_archived: bool = False
    is_locked: bool = False
    icon: Json | None = None
    cover: Json | None = None
    children: list[Json] = field(default_factory=list)

    @property
    def data_source_id(self) -> str | None:
        return self.parent.get("data_source_id")


@dataclass(slots=True)
class DataSource:
    """A table. `schema` maps property names to the objects Notion answers, in the order it answers them."""

    id: str
    database_id: str
    title: list[Json]
    created_time: datetime
    last_edited_time: datetime
    schema: dict[str, Json] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    description: list[Json] = field(default_factory=list)
    icon: Json | None = None
    in_trash: bool = False
    next_number: int = 1
    by_id: dict[str, str] = field(default_factory=dict)

    def reindex(self) -> None:
        """Call after each change of the schema: Notion answers properties by id, the title last."""
        ordered = sorted(self.schema.values(), key=lambda p: (p["type"] == "title", unquote(p["id"])))
        self.schema = {prop["name"]: prop for prop in ordered}
        self.by_id = {key: p["name"] for p in ordered for key in (p["id"], unquote(p["id"]))}

    def find(self, name_or_id: str) -> Json | None:
        prop = self.schema.get(name_or_id)
        if prop is None and (name := self.by_id.get(name_or_id)) is not None:
            prop = self.schema[name]
        return prop


@dataclass(slots=True)
class Database:
    """What holds data sources since 2025-09-03."""

    id: str
    parent: Json
    title: list[Json]
    created_time: datetime
    last_edited_time: datetime
    data_sources: list[str] = field(default_factory=list)
    description: list[Json] = field(default_factory=list)
    icon: Json | None = None
    cover: Json | None = None
    is_inline: bool = False
    is_locked: bool = False
    in_trash: bool = False


Node = Page | DataSource | Database
Found = TypeVar("Found", Page, DataSource, Database)


def canonical(raw: object, path: str) -> str:
    """An id with its dashes, whatever way it was written; 400 when it is none."""
    if isinstance(raw, str):
        digits = raw.replace("-", "").lower()
        if _UUID.fullmatch(raw) or digits == _NIL:
            return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return malformed(path, "a valid uuid", raw)


class Store:
    """All objects by id. `clock` is the present, ids come from the seed, `writes` counts commits.

    `lost_in_moves`: columns whose values no page takes along into another data source; None: no column's.
    """

    def __init__(self, seed: int, clock: Callable[[], datetime], bot: Json) -> None:
        self._ids = random.Random(f"notion ids {seed}")
        self.chance = random.Random(f"notion {seed}")
        self.clock = clock
        self.bot = bot
        self.users: dict[str, Json] = {bot["id"]: bot}
        self.guests: set[str] = set()
        self.pages: dict[str, Page] = {}
        self.data_sources: dict[str, DataSource] = {}
        self.databases: dict[str, Database] = {}
        self.unshared: set[str] = set()
        self.lost_in_moves: frozenset[str] | None = frozenset()
        self.writes = 0

    def new_id(self) -> str:
        return str(uuid.UUID(int=self._ids.getrandbits(128), version=4))

    def now(self) -> datetime:
        """Notion keeps minutes, no more."""
        return self.clock().astimezone(UTC).replace(second=0, microsecond=0)

    def new_page(self, parent: Json, values: Json) -> Page:
        now = self.now()
        scatter = self.chance.getrandbits(32)
        page = Page(self.new_id(), parent, values, now, now, self.bot["id"], scatter)
        self.pages[page.id] = page
        if page.data_source_id is not None:
            self.data_sources[page.data_source_id].pages[page.id] = page
        self.writes += 1
        return page

    def new_database(self, parent: Json, title: list[Json]) -> Database:
        now = self.clock().astimezone(UTC)
        database = Database(self.new_id(), parent, title, now, now)
        self.databases[database.id] = database
        return database

    def new_data_source(self, database: Database, title: list[Json], schema: dict[str, Json]) -> DataSource:
        now = self.now()
        source = DataSource(self.new_id(), database.id, title, now, now, schema)
        source.reindex()
        self.data_sources[source.id] = source
        database.data_sources.append(source.id)
        self.writes += 1
        return source

    def touch(self, node: Node) -> None:
        """Marks a change, once it is made."""
        node.last_edited_time = self.now()
        self.writes += 1

    def page(self, raw: object, path: str = "path.page_id") -> Page:
        return self._shared(self.pages, canonical(raw, path), "page")

    def data_source(self, raw: object, path: str = "path.data_source_id") -> DataSource:
        return self._shared(self.data_sources, canonical(raw, path), "data source")

    def database(self, raw: object, path: str = "path.database_id") -> Database:
        return self._shared(self.databases, canonical(raw, path), "database")

    def user(self, raw: object, path: str = "path.user_id") -> Json:
        user_id = canonical(raw, path)
        if user_id not in self.users:
            message = f"Could not find user with ID: {user_id}. {_INVISIBLE}"
            refuse(404, message, integration_id=self.bot["id"])
        return self.users[user_id]

    def ancestors(self, node: Node) -> Iterator[Node]:
        """The parents of an object, nearest first."""
        found: Node | None = node
        while found is not None:
            found = self._parent(found)
            if found is not None:
                yield found

    def trashed_above(self, node: Node) -> bool:
        return any(ancestor.in_trash for ancestor in self.ancestors(node))

    def _parent(self, node: Node) -> Node | None:
        if isinstance(node, DataSource):
            return self.databases.get(node.database_id)
        parent = node.parent
        if parent["type"] == "data_source_id":
            return self.data_sources.get(parent["data_source_id"])
        return self.pages.get(parent.get("page_id", ""))

    def _shared(self, shelf: dict[str, Found], object_id: str, kind: str) -> Found:
        node = shelf.get(object_id)
        if node is None or self._hidden(node):
            hint = _UNSHARED.format(name=self.bot["name"])
            refuse(
                404,
                f"Could not find {kind} with ID: {object_id}. {hint}",
                integration_id=self.bot["id"],
            )
        return node

    def _hidden(self, node: Node) -> bool:
        if not self.unshared:
            return False
        return node.id in self.unshared or any(up.id in self.unshared for up in self.ancestors(node))
