"""Rich text: what may be written, and the longer shape it is read back in."""

from service.sandbox.notion_errors import malformed, only, unsupported
from service.sandbox.wire import Json

MAX_CONTENT = 2000
MAX_URL = 2000
MAX_ARRAY = 100
_PLAIN: Json = {
    "bold": False,
    "italic": False,
    "strikethrough": False,
    "underline": False,
    "code": False,
    "color": "default",
}
_ITEM_KEYS = frozenset(("type", "text", "annotations", "plain_text", "href"))


def written_text(value: object, path: str) -> list[Json]:
    """Rich text as it will be read back. An empty `content` leaves nothing behind."""
    if not isinstance(value, list):
        malformed(path, "an array", value)
    if len(value) > MAX_ARRAY:
        malformed(f"{path}.length", f"≤ `{MAX_ARRAY}`", len(value))
    items = [_item(item, f"{path}[{index}]") for index, item in enumerate(value)]
    return [item for item in items if item["plain_text"]]


def plain(items: list[Json]) -> str:
    return "".join(item["plain_text"] for item in items)


def text(content: str) -> list[Json]:
    """Our own words as rich text."""
    return written_text([{"text": {"content": content}}], "text")


def _item(item: object, path: str) -> Json:
    if not isinstance(item, dict):
        malformed(path, "an object", item)
    if item.get("type", "text") != "text" or "mention" in item or "equation" in item:
        unsupported("mentions and equations in text")
    only(item, _ITEM_KEYS, path)
    inner = item.get("text")
    if not isinstance(inner, dict):
        malformed(f"{path}.text", "defined", inner)
    only(inner, frozenset(("content", "link")), f"{path}.text")
    content = inner.get("content")
    if not isinstance(content, str):
        malformed(f"{path}.text.content", "a string", content)
    if len(content) > MAX_CONTENT:
        malformed(f"{path}.text.content.length", f"≤ `{MAX_CONTENT}`", len(content))
    link = _link(inner.get("link"), f"{path}.text.link")
    return {
        "type": "text",
        "text": {"content": content, "link": link},
        "annotations": _annotations(item.get("annotations"), f"{path}.annotations"),
        "plain_text": content,
        "href": link["url"] if link else None,
    }


def _link(link: object, path: str) -> Json | None:
    if link is None:
        return None
    if not isinstance(link, dict) or not isinstance(link.get("url"), str) or not link["url"]:
        malformed(path, "an object with a url or `null`", link)
    if len(link["url"]) > MAX_URL:
        malformed(f"{path}.url.length", f"≤ `{MAX_URL}`", len(link["url"]))
    return {"url": link["url"]}


def _annotations(given: object, path: str) -> Json:
    if given is None:
        return _PLAIN
    if not isinstance(given, dict):
        malformed(path, "an object", given)
    only(given, frozenset(_PLAIN), path)
    return _PLAIN | given
