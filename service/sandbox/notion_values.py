"""What may be written into each kind of property, and the form it is kept and read back in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from service.sandbox.notion_dates import written_date
from service.sandbox.notion_errors import invalid, malformed, only, unsupported
from service.sandbox.notion_schema import READ_ONLY, check_option_name, new_option
from service.sandbox.notion_store import Store, canonical
from service.sandbox.notion_text import MAX_ARRAY, MAX_URL, written_text
from service.sandbox.wire import Json

MAX_ADDRESS = 200
_PEOPLE_KEYS = frozenset(("object", "id"))


@dataclass(slots=True)
class Writing:
    """One request's changes, held back until all of it is valid: values, and options it brings to life."""

    store: Store
    values: Json = field(default_factory=dict)
    options: list[tuple[list[Json], Json]] = field(default_factory=list)

    def commit(self, onto: Json) -> None:
        for offered, option in self.options:
            offered.append(option)
        onto.update(self.values)


Find = Callable[[str], Json | None]


def read_properties(store: Store, find: Find, properties: object) -> Writing:
    """Checks `properties` against the columns `find` knows by name or id; 400 for the first wrong one."""
    if not isinstance(properties, dict):
        malformed("body.properties", "an object", properties)
    writing = Writing(store)
    for key, wrapped in properties.items():
        prop = find(key)
        if prop is None:
            invalid(f"{key} is not a property that exists.")
        writing.values[prop["id"]] = read_value(writing, prop, wrapped, f"body.properties.{key}")
    return writing


def read_value(writing: Writing, prop: Json, wrapped: object, path: str) -> Any:
    """One property, such as `{"email": "a@example.com"}`; a title may come as a bare array."""
    type_ = prop["type"]
    if isinstance(wrapped, list) and type_ == "title":
        wrapped = {"title": wrapped}
    if not isinstance(wrapped, dict):
        malformed(path, "an object", wrapped)
    if wrapped.get("type", type_) != type_ or type_ not in wrapped:
        invalid(f"{prop['name']} is expected to be {type_}.")
    only(wrapped, frozenset(("type", "id", "name", "has_more", type_)), path)
    if type_ in READ_ONLY:
        invalid(f"{prop['name']} is a {type_} property: its value cannot be written.")
    return WRITERS[type_](writing, prop, wrapped[type_], f"{path}.{type_}")


def _rich(_writing: Writing, _prop: Json, value: object, path: str) -> list[Json]:
    return written_text(value, path)


def _string(limit: int) -> Callable[[Writing, Json, object, str], str | None]:
    def write(_writing: Writing, _prop: Json, value: object, path: str) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            malformed(path, "a populated string or `null`", value)
        if len(value) > limit:
            malformed(f"{path}.length", f"≤ `{limit}`", len(value))
        return value

    return write


def _number(_writing: Writing, _prop: Json, value: object, path: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        malformed(path, "a number or `null`", value)
    return value


def _checkbox(_writing: Writing, _prop: Json, value: object, path: str) -> bool:
    if not isinstance(value, bool):
        malformed(path, "a boolean", value)
    return value


def _date(_writing: Writing, _prop: Json, value: object, path: str) -> Json | None:
    return written_date(value, path)


def _select(writing: Writing, prop: Json, value: object, path: str) -> Json | None:
    return None if value is None else _option(writing, prop, value, path)


def _multi_select(writing: Writing, prop: Json, value: object, path: str) -> list[Json]:
    options = [_option(writing, prop, item, f"{path}[{i}]") for i, item in enumerate(_array(value, path))]
    return list({option["id"]: option for option in options}.values())


def _option(writing: Writing, prop: Json, value: object, path: str) -> Json:
    if not isinstance(value, dict):
        malformed(path, "an object or `null`", value)
    only(value, frozenset(("id", "name", "color", "description")), path)
    offered: list[Json] = prop[prop["type"]]["options"]
    coming = [option for shelf, option in writing.options if shelf is offered]
    for option in (*offered, *coming):
        if option["id"] == value.get("id") or ("id" not in value and option["name"] == value.get("name")):
            return option
    if "id" in value:
        invalid(f"{path}: no option has the id {value['id']}.")
    name = check_option_name(value.get("name"), f"{path}.name")
    if prop["type"] == "status":
        invalid(f'Invalid status option. Status option "{name}" does not exist.')
    created = new_option(writing.store, name, len(offered) + len(coming), value.get("color"))
    writing.options.append((offered, created))
    return created


def _people(writing: Writing, _prop: Json, value: object, path: str) -> list[str]:
    found: dict[str, None] = {}
    for index, item in enumerate(_array(value, path)):
        where = f"{path}[{index}]"
        if not isinstance(item, dict):
            malformed(where, "an object", item)
        if item.get("object") == "group":
            unsupported("groups in people properties")
        only(item, _PEOPLE_KEYS, where)
        if item.get("object", "user") != "user":
            malformed(f"{where}.object", '"user"', item["object"])
        user_id = canonical(item.get("id"), f"{where}.id")
        if user_id not in writing.store.users:
            invalid(f"Could not find user with ID: {user_id}.")
        found[user_id] = None
    return list(found)


def _relation(writing: Writing, prop: Json, value: object, path: str) -> list[str]:
    found: dict[str, None] = {}
    for index, item in enumerate(_array(value, path)):
        where = f"{path}[{index}]"
        if not isinstance(item, dict):
            malformed(where, "an object", item)
        only(item, frozenset(("id",)), where)
        page = writing.store.page(item.get("id"), f"{where}.id")
        if page.data_source_id != prop["relation"]["data_source_id"]:
            invalid(f"{prop['name']}: page {page.id} is not in the related data source.")
        found[page.id] = None
    return list(found)


def _files(_writing: Writing, _prop: Json, value: object, path: str) -> list[Json]:
    if _array(value, path):
        unsupported("files")
    return []


def _array(value: object, path: str) -> list[Any]:
    if not isinstance(value, list):
        malformed(path, "an array", value)
    if len(value) > MAX_ARRAY:
        malformed(f"{path}.length", f"≤ `{MAX_ARRAY}`", len(value))
    return value


WRITERS: dict[str, Callable[[Writing, Json, Any, str], Any]] = {
    "title": _rich,
    "rich_text": _rich,
    "email": _string(MAX_ADDRESS),
    "phone_number": _string(MAX_ADDRESS),
    "url": _string(MAX_URL),
    "number": _number,
    "checkbox": _checkbox,
    "date": _date,
    "select": _select,
    "status": _select,
    "multi_select": _multi_select,
    "people": _people,
    "relation": _relation,
    "files": _files,
}
