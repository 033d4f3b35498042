"""What a data source's columns may be, and what becomes of pages when a column changes."""

from typing import Any
from urllib.parse import quote

from service.sandbox.notion_errors import invalid, malformed, only, unsupported
from service.sandbox.notion_store import DataSource, Store
from service.sandbox.wire import Json

COLORS = ("default", "gray", "brown", "orange", "yellow", "green", "blue", "purple", "pink", "red")
OPTION_TYPES = frozenset(("select", "multi_select", "status"))
READ_ONLY = frozenset(
    ("formula", "rollup", "unique_id", "created_time", "created_by", "last_edited_time", "last_edited_by")
)
PLAIN = frozenset(("title", "rich_text", "url", "email", "phone_number", "checkbox", "date", "people", "files")) | (
    READ_ONLY - {"formula", "rollup", "unique_id"}
)
TYPES = PLAIN | OPTION_TYPES | {"number", "formula", "relation", "unique_id"}
MAX_NAME = 100
MAX_OPTIONS = 100
_ID_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:;<=>?@[]^_`{|}~\\"
_KEYS = frozenset(("id", "name", "description", "type"))
_STATUSES = [
    {"name": "Not started", "color": "default"},
    {"name": "In progress", "color": "blue"},
    {"name": "Done", "color": "green"},
]


def new_schema(store: Store, properties: object, path: str) -> dict[str, Json]:
    """The columns of a new data source; exactly one is the title."""
    if not isinstance(properties, dict):
        malformed(path, "an object", properties)
    schema: dict[str, Json] = {}
    for name, config in properties.items():
        schema[name] = _new_property(store, schema, name, config, f"{path}.{name}")
    _one_title(schema)
    return schema


def change_schema(store: Store, source: DataSource, properties: object) -> None:
    """Adds, renames, retypes and (with null) deletes columns; all or nothing."""
    if not isinstance(properties, dict):
        malformed("body.properties", "an object", properties)
    schema = dict(source.schema)
    for key, config in properties.items():
        old = source.find(key)
        path = f"body.properties.{key}"
        if old is None:
            if config is None or (isinstance(config, dict) and not TYPES & config.keys()):
                invalid(f"Could not find property with name or id: {key}")
            schema[key] = _new_property(store, schema, key, config, path)
        elif config is None:
            del schema[old["name"]]
        else:
            schema = _changed(store, schema, old, config, path)
    _one_title(schema)
    before = {prop["id"]: prop["type"] for prop in source.schema.values()}
    source.schema = schema
    source.reindex()
    _tidy(source, before)


def new_option(store: Store, name: str, count: int, color: str | None = None) -> Json:
    return {
        "id": store.new_id(),
        "name": name,
        "color": color or COLORS[count % len(COLORS)],
        "description": None,
    }


def check_option_name(name: object, path: str) -> str:
    if not isinstance(name, str) or not name:
        malformed(path, "a populated string", name)
    if "," in name:
        invalid(f"Invalid select option, commas not allowed: {name}")
    if len(name) > MAX_NAME:
        malformed(f"{path}.length", f"≤ `{MAX_NAME}`", len(name))
    return name


def _one_title(schema: dict[str, Json]) -> None:
    titles = sum(prop["type"] == "title" for prop in schema.values())
    if titles != 1:
        invalid(f"A data source must have exactly one title property, instead there were {titles}.")


def _new_property(store: Store, schema: dict[str, Json], name: str, config: object, path: str) -> Json:
    type_ = _type_of(config, path)
    if type_ is None:
        malformed(path, "a property schema with a type", config)
    _free_name(schema, name, path)
    taken = {prop["id"] for prop in schema.values()}
    property_id = "title" if type_ == "title" else _property_id(store, taken)
    assert isinstance(config, dict)
    inner = _inner(store, type_, config[type_], f"{path}.{type_}", None)
    return _property(property_id, name, type_, inner)


def _changed(store: Store, schema: dict[str, Json], old: Json, config: object, path: str) -> dict[str, Json]:
    type_ = _type_of(config, path) or old["type"]
    assert isinstance(config, dict)
    name: Any = config.get("name", old["name"])
    if name != old["name"]:
        _free_name(schema, name, f"{path}.name")
    if (type_ == "title") != (old["type"] == "title"):
        invalid("The title property cannot change its type, nor another become the title.")
    if type_ in config:
        before = old if old["type"] == type_ else None
        fresh = _property(old["id"], name, type_, _inner(store, type_, config[type_], path, before))
    else:
        fresh = old | {"name": name}
    return {prop["name"]: prop for prop in (fresh if p is old else p for p in schema.values())}


def _type_of(config: object, path: str) -> str | None:
    if not isinstance(config, dict):
        malformed(path, "an object", config)
    found = [key for key in config if key not in _KEYS]
    unknown = [key for key in found if key not in TYPES]
    if "rollup" in unknown:
        unsupported("rollup properties")
    if unknown:
        malformed(f"{path}.{unknown[0]}", "not present", config[unknown[0]])
    if len(found) > 1:
        malformed(path, "a schema of one type", found)
    if found and config.get("type", found[0]) != found[0]:
        malformed(f"{path}.type", f'"{found[0]}"', config["type"])
    return found[0] if found else None


def _property(property_id: str, name: str, type_: str, inner: Json) -> Json:
    return {"id": property_id, "name": name, "description": None, "type": type_, type_: inner}


def _inner(store: Store, type_: str, raw: object, path: str, old: Json | None) -> Json:
    if not isinstance(raw, dict):
        malformed(path, "an object", raw)
    if type_ in OPTION_TYPES:
        return _options(store, type_, raw, path, old)
    if type_ == "number":
        return {"format": raw.get("format", "number")}
    if type_ == "unique_id":
        return {"prefix": raw.get("prefix")}
    if type_ == "formula":
        if not isinstance(raw.get("expression"), str) or not raw["expression"]:
            malformed(f"{path}.expression", "a populated string", raw.get("expression"))
        return {"expression": raw["expression"]}
    if type_ == "relation":
        return _relation(store, raw, path)
    only(raw, frozenset(), path)
    return {}


def _options(store: Store, type_: str, raw: Json, path: str, old: Json | None) -> Json:
    """The list replaces the old one: an option that is left out is deleted, a rename by id is ignored."""
    only(raw, frozenset(("options", "groups")), path)
    wanted: Any = raw.get("options", _STATUSES if type_ == "status" else [])
    if not isinstance(wanted, list):
        malformed(f"{path}.options", "an array", wanted)
    if len(wanted) > MAX_OPTIONS:
        malformed(f"{path}.options.length", f"≤ `{MAX_OPTIONS}`", len(wanted))
    before = old[type_]["options"] if old else []
    known = {key: option for option in before for key in (option["id"], option["name"])}
    options: list[Json] = []
    for index, option in enumerate(wanted):
        where = f"{path}.options[{index}]"
        if not isinstance(option, dict):
            malformed(where, "an object", option)
        if option.get("color", "default") not in COLORS:
            malformed(f"{where}.color", "one of the colors", option["color"])
        kept = known.get(option.get("id", "")) or known.get(option.get("name", ""))
        name = kept["name"] if kept else check_option_name(option.get("name"), f"{where}.name")
        if any(name == other["name"] for other in options):
            invalid(f"{path}.options names {name} twice.")
        options.append(kept or new_option(store, name, len(options), option.get("color")))
    return {"options": options}


def _relation(store: Store, raw: Json, path: str) -> Json:
    if raw.get("type", "single_property") != "single_property" or "dual_property" in raw:
        unsupported("two-way relations")
    only(raw, frozenset(("data_source_id", "type", "single_property", "database_id")), path)
    target = store.data_source(raw.get("data_source_id"), f"{path}.data_source_id")
    return {
        "database_id": target.database_id,
        "data_source_id": target.id,
        "type": "single_property",
        "single_property": {},
    }


def _free_name(schema: dict[str, Json], name: object, path: str) -> None:
    if not isinstance(name, str) or not name:
        malformed(path, "a populated string", name)
    if name in schema:
        invalid(f"Cannot create new property {name}: a property of that name already exists.")


def _property_id(store: Store, taken: set[str]) -> str:
    """Four odd letters, percent-encoded as in every answer."""
    while True:
        property_id = quote("".join(store.chance.choices(_ID_LETTERS, k=4)), safe="~")
        if property_id not in taken:
            return property_id


def _tidy(source: DataSource, before: dict[str, str]) -> None:
    """Values of deleted columns, of changed types and of deleted options are lost, as in Notion.

    `before` is what type each property id had.
    """
    lost = before.keys() - {p["id"] for p in source.schema.values() if before.get(p["id"]) == p["type"]}
    options = {
        prop["id"]: {option["id"] for option in prop[prop["type"]]["options"]}
        for prop in source.schema.values()
        if prop["type"] in OPTION_TYPES
    }
    for page in source.pages.values():
        for property_id in lost:
            page.values.pop(property_id, None)
        for property_id, kept in options.items():
            if property_id in page.values:
                page.values[property_id] = _still_offered(page.values[property_id], kept)


def _still_offered(value: Any, options: set[str]) -> Any:
    if isinstance(value, list):
        return [option for option in value if option["id"] in options]
    return value if value and value["id"] in options else None
