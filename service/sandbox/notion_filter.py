"""Filters of a query, checked as strictly as Notion checks them and compiled once into a predicate."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from service.sandbox.notion_dates import instant, length, parsed_date, window
from service.sandbox.notion_errors import invalid, malformed
from service.sandbox.notion_store import DataSource, Page, canonical
from service.sandbox.notion_text import plain
from service.sandbox.wire import Json

Predicate = Callable[[Page], bool]
Getter = Callable[[Page], Any]
Test = Callable[[Any], bool]

TEXT = frozenset(("title", "rich_text", "url", "email", "phone_number"))
NUMBERS = frozenset(("number", "unique_id"))
CHOICES = frozenset(("select", "status"))
REFERENCES = frozenset(("people", "relation", "created_by", "last_edited_by"))
TIMES = frozenset(("created_time", "last_edited_time"))
FORMULA_TYPES = frozenset(("string", "number", "date", "checkbox"))
MAX_NESTING = 2
# Kept values in the form that conditions compare.
_SIMPLER: dict[str, Callable[[Any], Any]] = {
    "title": lambda value: plain(value or []),
    "rich_text": lambda value: plain(value or []),
    "checkbox": bool,
    "select": lambda value: value and value["name"],
    "status": lambda value: value and value["name"],
    "multi_select": lambda value: [option["name"] for option in value or ()],
}


def compile_filter(source: DataSource, given: object, now: datetime) -> Predicate:
    """400 for an unknown property, a condition of the wrong type, or compounds nested too deep."""
    return _node(source, given, now, "body.filter", 1)


def _node(source: DataSource, given: object, now: datetime, path: str, depth: int) -> Predicate:
    if not isinstance(given, dict):
        malformed(path, "an object", given)
    for word, decide in (("and", all), ("or", any)):
        if word in given:
            tests = _parts(source, given[word], now, f"{path}.{word}", depth)
            return lambda page: decide(test(page) for test in tests)
    if "timestamp" in given:
        return _timestamp(given, now, path)
    return _property(source, given, now, path)


def _parts(source: DataSource, parts: object, now: datetime, path: str, depth: int) -> list[Predicate]:
    if depth > MAX_NESTING:
        malformed(path, "not present: compound filters nest one level deep", parts)
    if not isinstance(parts, list) or not parts:
        malformed(path, "a populated array", parts)
    return [_node(source, part, now, f"{path}[{i}]", depth + 1) for i, part in enumerate(parts)]


def _timestamp(given: Json, now: datetime, path: str) -> Predicate:
    which = given["timestamp"]
    if which not in TIMES:
        malformed(f"{path}.timestamp", '"created_time" or "last_edited_time"', which)
    operator, operand = _condition(given.get(which), f"{path}.{which}")
    test = _date_test(operator, operand, f"{path}.{which}.{operator}", now)
    return lambda page: test(getattr(page, which))


def _property(source: DataSource, given: Json, now: datetime, path: str) -> Predicate:
    name = given.get("property")
    if not isinstance(name, str):
        malformed(f"{path}.property", "defined", name)
    prop = source.find(name)
    if prop is None:
        invalid(f"Could not find property with name or id: {name}")
    conditions = [key for key in given if key not in ("property", "type")]
    if len(conditions) != 1:
        malformed(path, "a filter with one condition", conditions)
    type_, asked = prop["type"], conditions[0]
    if asked != type_ and not (asked == "date" and type_ in TIMES):
        invalid(
            "The property type in the database does not match the property type of the filter provided: "
            f"database property {type_} does not match filter {asked}"
        )
    test = _test(type_, given[asked], now, f"{path}.{asked}")
    read = _getter(prop)
    return lambda page: test(read(page))


def _getter(prop: Json) -> Getter:
    type_, key = prop["type"], prop["id"]
    if type_ in TIMES:
        return lambda page: getattr(page, type_)
    if type_ in ("created_by", "last_edited_by"):
        return lambda page: [page.created_by]
    simplify = _SIMPLER.get(type_)
    if simplify is not None:
        return lambda page: simplify(page.values.get(key))
    return lambda page: page.values.get(key)


def _test(type_: str, given: object, now: datetime, path: str) -> Test:
    if type_ == "formula":
        return _formula_test(given, path)
    operator, operand = _condition(given, path)
    where = f"{path}.{operator}"
    if type_ in TEXT:
        return _text_test(operator, operand, where)
    if type_ in NUMBERS:
        return _number_test(operator, operand, where)
    if type_ == "date" or type_ in TIMES:
        return _date_test(operator, operand, where, now)
    if type_ == "checkbox" or type_ in CHOICES:
        return _equality(operator, operand, where, bool if type_ == "checkbox" else str)
    return _membership(type_, operator, operand, where)


def _condition(given: object, path: str) -> tuple[str, Any]:
    if not isinstance(given, dict) or len(given) != 1:
        malformed(path, "an object with one condition", given)
    operator, operand = next(iter(given.items()))
    return operator, operand


def _emptiness(operator: str, operand: object, path: str) -> Test:
    if operator not in ("is_empty", "is_not_empty"):
        malformed(path, "not present", operand)
    if operand is not True:
        malformed(path, "`true`", operand)
    empty = operator == "is_empty"
    return lambda value: (value is None or value in ("", [])) is empty


def _equality(operator: str, operand: Any, path: str, kind: type) -> Test:
    if operator not in ("equals", "does_not_equal"):
        return _emptiness(operator, operand, path)
    if not isinstance(operand, kind):
        malformed(path, f"a {kind.__name__}", operand)
    return lambda value: (value == operand) is (operator == "equals")


def _text_test(operator: str, operand: Any, path: str) -> Test:
    """`equals` is exact; the searching conditions do not regard case, as in Notion's own search."""
    searches: dict[str, Callable[[str, str], bool]] = {
        "contains": lambda value, part: part in value,
        "does_not_contain": lambda value, part: part not in value,
        "starts_with": str.startswith,
        "ends_with": str.endswith,
    }
    if operator not in searches:
        if operator in ("equals", "does_not_equal") and not isinstance(operand, str):
            malformed(path, "a string", operand)
        return _equality(operator, operand, path, str)
    if not isinstance(operand, str):
        malformed(path, "a string", operand)
    search, wanted = searches[operator], operand.casefold()
    return lambda value: search((value or "").casefold(), wanted)


def _number_test(operator: str, operand: Any, path: str) -> Test:
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "equals": lambda a, b: a == b,
        "does_not_equal": lambda a, b: a != b,
        "greater_than": lambda a, b: a is not None and a > b,
        "less_than": lambda a, b: a is not None and a < b,
        "greater_than_or_equal_to": lambda a, b: a is not None and a >= b,
        "less_than_or_equal_to": lambda a, b: a is not None and a <= b,
    }
    if operator not in compare:
        return _emptiness(operator, operand, path)
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        malformed(path, "a number", operand)
    decide = compare[operator]
    return lambda value: decide(value, operand)


def _membership(type_: str, operator: str, operand: Any, path: str) -> Test:
    if operator not in ("contains", "does_not_contain"):
        return _emptiness(operator, operand, path)
    wanted = canonical(operand, path) if type_ in REFERENCES else operand
    return lambda value: (wanted in (value or ())) is (operator == "contains")


def _formula_test(given: object, path: str) -> Test:
    """A formula made through the API has no type until someone edits it in the app: it matches nothing."""
    kind, condition = _condition(given, path)
    if kind not in FORMULA_TYPES:
        malformed(f"{path}.{kind}", "not present", condition)
    _condition(condition, f"{path}.{kind}")
    return lambda _value: False


def _date_test(operator: str, operand: Any, path: str, now: datetime) -> Test:
    if operator in ("is_empty", "is_not_empty"):
        return _emptiness(operator, operand, path)
    span = window(operator, now)
    if span is not None:
        if operand != {}:
            malformed(path, "an empty object", operand)
        first, end = span
        return lambda value: (at := _start(value)) is not None and first <= at < end
    return _date_comparison(operator, operand, path)


def _date_comparison(operator: str, operand: Any, path: str) -> Test:
    parsed = parsed_date(operand)
    if parsed is None:
        malformed(path, "a valid ISO 8601 date string", operand)
    first = instant(parsed)
    end: datetime = first + length(parsed)
    compare: dict[str, Callable[[datetime], bool]] = {
        "equals": lambda at: first <= at < end,
        "before": lambda at: at < first,
        "after": lambda at: at >= end,
        "on_or_before": lambda at: at < end,
        "on_or_after": lambda at: at >= first,
    }
    if operator not in compare:
        malformed(path, "not present", operand)
    decide = compare[operator]
    return lambda value: (at := _start(value)) is not None and decide(at)


def _start(value: Json | datetime | None) -> datetime | None:
    """When a date property begins; a page's own times are given as they are."""
    if value is None or isinstance(value, datetime):
        return value
    parsed: date | None = parsed_date(value["start"])
    return None if parsed is None else instant(parsed)
