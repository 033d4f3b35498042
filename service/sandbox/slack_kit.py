"""Block Kit as strict as Slack's: what a view or a message may hold, and how long. https://docs.slack.dev/reference/block-kit/"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from service.sandbox.wire import Json

MOST_BLOCKS = {"modal": 100, "home": 100, "message": 50}
TITLE = 24
METADATA = 3_000
VIEW_BYTES = 250_000
KEYS = {
    "modal": {
        "type",
        "title",
        "blocks",
        "close",
        "submit",
        "private_metadata",
        "callback_id",
        "clear_on_close",
        "notify_on_close",
        "external_id",
        "submit_disabled",
    },
    "home": {"type", "blocks", "private_metadata", "callback_id", "external_id"},
}


class Invalid(Exception):
    """What Slack would name in `response_metadata.messages`."""


def need(holds: object, complaint: str) -> None:
    if not holds:
        raise Invalid(f"[ERROR] {complaint}")


def view_of(raw: object, kinds: tuple[str, ...]) -> Json:
    """A view as JSON or as JSON in a form's text; Invalid says what is wrong with it."""
    try:
        view = json.loads(raw) if isinstance(raw, str) else raw
    except ValueError:
        view = None
    need(isinstance(view, dict), "must be valid JSON [json-pointer:/view]")
    assert isinstance(view, dict)
    kind = view.get("type")
    need(kind in kinds, f"unsupported type: {kind} [json-pointer:/view/type]")
    unknown = view.keys() - KEYS[str(kind)]
    need(not unknown, f"invalid additional property: {', '.join(sorted(unknown))} [json-pointer:/view]")
    need(len(json.dumps(view)) <= VIEW_BYTES, "view is too large")
    if kind == "modal":
        _plain(view.get("title"), TITLE, "title")
        for name in ("close", "submit"):
            if name in view:
                _plain(view[name], TITLE, name)
    _text(view.get("callback_id", ""), 255, "callback_id", empty=True)
    _text(view.get("private_metadata", ""), METADATA, "private_metadata", empty=True)
    blocks_of(view.get("blocks"), str(kind))
    inputs = any(block["type"] == "input" for block in view["blocks"])
    need(not (kind == "modal" and inputs and "submit" not in view), "submit is required with an input block")
    return view


def blocks_of(blocks: object, where: str) -> None:
    need(isinstance(blocks, list), "blocks must be an array")
    assert isinstance(blocks, list)
    need(len(blocks) <= MOST_BLOCKS[where], f"no more than {MOST_BLOCKS[where]} items allowed [json-pointer:/blocks]")
    for block in blocks:
        need(isinstance(block, dict) and block.get("type") in BLOCKS, "unsupported block type")
        need(where != "home" or block["type"] != "file", "unsupported in a home tab")
        _text(block.get("block_id", "x"), 255, "block_id")
        BLOCKS[block["type"]](block)
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    need(len(ids) == len(set(ids)), "block_id must be unique")


def _text(said: object, longest: int, where: str, *, empty: bool = False) -> None:
    need(isinstance(said, str), f"{where} must be a string")
    assert isinstance(said, str)
    need(empty or said, f"must be more than 0 characters [json-pointer:/{where}]")
    need(len(said) <= longest, f"must be less than {longest + 1} characters [json-pointer:/{where}]")


def _plain(said: object, longest: int, where: str) -> None:
    need(isinstance(said, dict) and said.get("type") == "plain_text", f"{where} must be plain_text")
    assert isinstance(said, dict)
    need(not said.keys() - {"type", "text", "emoji"}, f"{where}: invalid additional property")
    _text(said.get("text"), longest, where)


def _any_text(said: object, longest: int, where: str) -> None:
    if isinstance(said, dict) and said.get("type") == "mrkdwn":
        need(not said.keys() - {"type", "text", "verbatim"}, f"{where}: invalid additional property")
        _text(said.get("text"), longest, where)
    else:
        _plain(said, longest, where)


def _only(block: Json, *names: str) -> None:
    unknown = block.keys() - {"type", "block_id", *names}
    need(not unknown, f"invalid additional property: {', '.join(sorted(unknown))}")


def _section(block: Json) -> None:
    _only(block, "text", "fields", "accessory", "expand")
    need("text" in block or block.get("fields"), "a section needs text or fields")
    if "text" in block:
        _any_text(block["text"], 3_000, "text")
    need(len(block.get("fields", [])) <= 10, "no more than 10 items allowed [json-pointer:/fields]")  # noqa: PLR2004
    for one in block.get("fields", []):
        _any_text(one, 2_000, "fields")
    if "accessory" in block:
        _element(block["accessory"], tuple(ELEMENTS))


def _header(block: Json) -> None:
    _only(block, "text")
    _plain(block.get("text"), 150, "text")


def _divider(block: Json) -> None:
    _only(block)


def _context(block: Json) -> None:
    _only(block, "elements")
    need(0 < len(block.get("elements") or []) <= 10, "1 to 10 elements")  # noqa: PLR2004 - Slack's number
    for one in block["elements"]:
        _any_text(one, 3_000, "elements")


def _actions(block: Json) -> None:
    _only(block, "elements")
    elements = block.get("elements") or []
    need(0 < len(elements) <= 25, "1 to 25 elements")  # noqa: PLR2004 - Slack's number
    for one in elements:
        _element(one, ("button", "static_select", "users_select"))
    ids = [one["action_id"] for one in elements]
    need(len(ids) == len(set(ids)), "action_id must be unique within a block")


def _input(block: Json) -> None:
    _only(block, "label", "element", "optional", "hint", "dispatch_action")
    _plain(block.get("label"), 2_000, "label")
    _element(block.get("element"), ("plain_text_input", "static_select", "users_select"))


def _element(one: object, kinds: tuple[str, ...]) -> None:
    need(isinstance(one, dict) and one.get("type") in kinds, "unsupported element type")
    assert isinstance(one, dict)
    _text(one.get("action_id"), 255, "action_id")
    if "placeholder" in one:
        _plain(one["placeholder"], 150, "placeholder")
    ELEMENTS[one["type"]](one)


def _button(one: Json) -> None:
    _only(one, "action_id", "text", "value", "style", "url", "confirm")
    _plain(one.get("text"), 75, "text")
    _text(one.get("value", "x"), 2_000, "value")
    need(one.get("style", "primary") in ("primary", "danger"), "unsupported style")


def _static_select(one: Json) -> None:
    _only(one, "action_id", "options", "placeholder", "initial_option")
    options = one.get("options") or []
    need(0 < len(options) <= 100, "1 to 100 options")  # noqa: PLR2004 - Slack's number
    for option in options:
        need(not option.keys() - {"text", "value", "description"}, "option: invalid additional property")
        _plain(option.get("text"), 75, "text")
        _text(option.get("value"), 150, "value")


def _users_select(one: Json) -> None:
    _only(one, "action_id", "placeholder", "initial_user")


def _plain_text_input(one: Json) -> None:
    _only(one, "action_id", "placeholder", "initial_value", "multiline", "min_length", "max_length")
    need(0 < one.get("max_length", 1) <= 3_000, "max_length must be at most 3000")  # noqa: PLR2004 - Slack's number


Check = Callable[[Json], None]
BLOCKS: dict[str, Check] = {
    "section": _section,
    "header": _header,
    "divider": _divider,
    "context": _context,
    "actions": _actions,
    "input": _input,
}
ELEMENTS: dict[str, Check] = {
    "button": _button,
    "static_select": _static_select,
    "users_select": _users_select,
    "plain_text_input": _plain_text_input,
}


def elements_of(view: Json) -> Iterator[tuple[Json, Json]]:
    """Every element people can use, with its block."""
    for block in view["blocks"]:
        found = [block[name] for name in ("element", "accessory") if name in block]
        for one in (*found, *(block.get("elements") or ())):
            if "action_id" in one:
                yield block, one


def texts_of(found: Any) -> list[str]:
    """Every text in a view or a message, in order: what a person would read."""
    if isinstance(found, dict):
        own = [found["text"]] if isinstance(found.get("text"), str) and found.get("type") in _TEXTS else []
        return own + [text for value in found.values() for text in texts_of(value)]
    return [text for one in found for text in texts_of(one)] if isinstance(found, list) else []


_TEXTS = ("plain_text", "mrkdwn")
