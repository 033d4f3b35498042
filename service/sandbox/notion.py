"""Notion on this machine: the routes of its API and who may use them, around a memory of its own."""

import random
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from service.sandbox import notion_pages as pages
from service.sandbox import notion_tables as tables
from service.sandbox import notion_users as users
from service.sandbox.faults import Fault
from service.sandbox.notion_ask import Ask
from service.sandbox.notion_errors import fault_answer, invalid, malformed, refuse
from service.sandbox.notion_render import LATEST, Capabilities, Renderer
from service.sandbox.notion_store import DataSource, Page, Store
from service.sandbox.notion_text import plain, text
from service.sandbox.notion_values import read_properties
from service.sandbox.wire import Answer, Call, Json

VERSIONS = frozenset(("2025-09-03", LATEST))
MAX_BODY = 500 * 1024
Endpoint = Callable[[Ask], Json]

# method, path, the capability it needs, what it does
ROUTES: tuple[tuple[str, str, str | None, Endpoint], ...] = (
    ("GET", "/v1/users/me", None, users.me),
    ("GET", "/v1/users", "read_users", users.list_users),
    ("GET", "/v1/users/{id}", "read_users", users.retrieve_user),
    ("POST", "/v1/pages", "insert_content", pages.create_page),
    ("GET", "/v1/pages/{id}", "read_content", pages.retrieve_page),
    ("PATCH", "/v1/pages/{id}", "update_content", pages.update_page),
    ("POST", "/v1/pages/{id}/move", "update_content", pages.move_page),
    ("GET", "/v1/pages/{id}/properties/{id}", "read_content", pages.retrieve_property),
    ("POST", "/v1/databases", "insert_content", tables.create_database),
    ("GET", "/v1/databases/{id}", "read_content", tables.retrieve_database),
    ("PATCH", "/v1/databases/{id}", "update_content", tables.update_database),
    ("POST", "/v1/data_sources", "insert_content", tables.create_data_source),
    ("GET", "/v1/data_sources/{id}", "read_content", tables.retrieve_data_source),
    ("PATCH", "/v1/data_sources/{id}", "update_content", tables.update_data_source),
    ("POST", "/v1/data_sources/{id}/query", "read_content", tables.query_data_source),
    ("POST", "/v1/search", "read_content", tables.search),
)
_COMPILED = [
    (method, re.compile(path.replace("{id}", "([^/]+)")), capability, endpoint)
    for method, path, capability, endpoint in ROUTES
]


class Notion:
    """One workspace and the integration that looks at it.

    `token`, `capabilities`, `row_limit` (of a query) and `store` may be changed while it runs.
    `parent_page_id` is a page that is shared with the integration, for databases to be created in.
    """

    def __init__(self, seed: int, clock: Callable[[], datetime]) -> None:
        rng = random.Random(f"notion workspace {seed}")
        bot_id, workspace = (str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(2))
        self.token = f"ntn_{rng.getrandbits(160):040x}"
        self.capabilities = Capabilities()
        self.row_limit = 10_000
        self.store = Store(seed, clock, _bot(bot_id, workspace))
        self._rng = rng
        home = self.store.new_page({"type": "workspace", "workspace": True}, {"title": text("Engineering")})
        self.store.writes = 0
        self.parent_page_id = home.id

    @property
    def writes(self) -> int:
        """How many changes were committed through the API."""
        return self.store.writes

    # -- for the tests and the demo ------------------------------------------------------------------------

    def add_user(self, user: Mapping[str, Any], *, guest: bool = False) -> str:
        """Lets a person in (a user object as `users.list` answers it); guests are missing from the list."""
        self.store.users[user["id"]] = dict(user)
        if guest:
            self.store.guests.add(user["id"])
        return str(user["id"])

    def remove_user(self, user_id: str) -> None:
        """The person leaves: unknown from now on, though pages may still name them."""
        del self.store.users[user_id]
        self.store.guests.discard(user_id)

    def unshare(self, object_id: str) -> None:
        """Takes a page, data source or database (and all below it) from the integration: 404 from now on."""
        self.store.unshared.add(object_id)

    def data_source_named(self, title: str) -> DataSource:
        return next(s for s in self.store.data_sources.values() if plain(s.title) == title)

    def pages_of(self, data_source_id: str, *, trashed: bool = False) -> list[Json]:
        """The pages of a data source as the API shows them, oldest first, from the trash if asked."""
        render = Renderer(self.store, Capabilities())
        found = list(self.store.data_sources[data_source_id].pages.values())
        return [render.page(page) for page in found if page.in_trash is trashed]

    def rows(self, data_source_id: str, *, trashed: bool = False) -> list[Json]:
        """The same as plain values by column: text as str, options as names, people and relations as ids."""
        return [
            {name: simple(prop) for name, prop in page["properties"].items()}
            for page in self.pages_of(data_source_id, trashed=trashed)
        ]

    def edit(self, page_id: str, properties: Json | None = None, *, in_trash: bool | None = None) -> None:
        """Somebody edits a page in the app, behind our back; values are written as through the API."""
        page = self.store.pages[page_id]
        source = self.store.data_sources.get(page.data_source_id or "")
        read_properties(self.store, pages.finder(source), properties or {}).commit(page.values)
        page.in_trash = page.in_trash if in_trash is None else in_trash
        page.last_edited_time = self.store.now()

    def add_row(self, data_source_id: str, properties: Json) -> str:
        """Somebody adds a row in the app; gives its page id."""
        source = self.store.data_sources[data_source_id]
        writing = read_properties(self.store, source.find, properties)
        values: Json = {}
        writing.commit(values)
        parent = {
            "type": "data_source_id",
            "data_source_id": source.id,
            "database_id": source.database_id,
        }
        page: Page = self.store.new_page(parent, values)
        self.store.writes -= 1
        return page.id

    # -- the API -------------------------------------------------------------------------------------------

    def handle(self, call: Call) -> Answer:
        """Answers one request; raises RefusedError for what Notion would refuse."""
        capability, endpoint, ids = _route(call)
        self._authorise(call, capability)
        render = Renderer(self.store, self.capabilities, call.headers["notion-version"])
        salt = self._rng.getrandbits(32)
        ask = Ask(call, ids, _body(call), self.store, render, self.row_limit, salt)
        return Answer(endpoint(ask))

    def fault(self, fault: Fault, call: Call, done: Answer | None) -> Answer:
        """The body of an injected error; `done` is what the committed request would have been answered."""
        left = None if done is None or call.method == "GET" else done.body
        return fault_answer(fault, call.path, left if isinstance(left, dict) else None)

    def sign(self, answer: Answer) -> Answer:
        """Every JSON answer names its request."""
        if not isinstance(answer.body, dict):
            return answer
        request_id = f"{self._rng.getrandbits(128):032x}"
        headers = {**answer.headers, "x-notion-request-id": request_id}
        return Answer(answer.body | {"request_id": request_id}, answer.status, headers)

    def _authorise(self, call: Call, capability: str | None) -> None:
        if call.bearer != self.token:
            refuse(401)
        version = call.headers.get("notion-version")
        if version not in VERSIONS:
            known = " or ".join(f'`"{name}"`' for name in sorted(VERSIONS))
            stood = "undefined" if version is None else f'"{version}"'
            message = f"Notion-Version header failed validation: it should be {known}, instead was `{stood}`."
            refuse(400, message, "missing_version")
        if capability is not None and not getattr(self.capabilities, capability):
            refuse(403)


def simple(prop: Json) -> Any:
    """A property object's value, for reading: `{"type": "email", "email": "a@…"}` → `"a@…"`."""
    value = prop[prop["type"]]
    match prop["type"]:
        case "title" | "rich_text":
            return plain(value)
        case "select" | "status":
            return value and value["name"]
        case "multi_select":
            return [option["name"] for option in value]
        case "people" | "relation":
            return [item["id"] for item in value]
        case _:
            return value


def _route(call: Call) -> tuple[str | None, Endpoint, tuple[str, ...]]:
    for method, path, capability, endpoint in _COMPILED:
        if call.method == method and (found := path.fullmatch(call.path)):
            return capability, endpoint, found.groups()
    return refuse(400, "Invalid request URL.", "invalid_request_url")


def _body(call: Call) -> Json:
    if call.method == "GET":
        return {}
    if len(call.body) > MAX_BODY:
        malformed("body.length", f"≤ `{MAX_BODY}`", len(call.body))
    try:
        body = call.json()
    except ValueError:
        refuse(400, "Error parsing JSON body.", "invalid_json")
    if body is None:
        return {}
    if not isinstance(body, dict):
        invalid("body failed validation: body should be an object.")
    return body


def _bot(bot_id: str, workspace_id: str) -> Json:
    return {
        "object": "user",
        "id": bot_id,
        "name": "Rollcall",
        "avatar_url": None,
        "type": "bot",
        "bot": {
            "owner": {"type": "workspace", "workspace": True},
            "workspace_name": "Sandbox",
            "workspace_id": workspace_id,
            "workspace_limits": {"max_file_upload_size_in_bytes": 5_242_880},
        },
    }
