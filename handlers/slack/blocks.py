"""Block Kit: the windows, the home page and the messages people see, built from plain values, within Slack's limits."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json

from handlers.slack.showing import escape

Json = dict[str, Any]

LONGEST_SECTION = 2_900  # of 3,000 characters
MOST_SECTIONS = 40  # of 50 blocks in a message, 100 in a window
LONGEST_OPTION = 75
MOST_OPTIONS = 100
REASON = 500


def plain(text: str, longest: int = 75) -> Json:
    return {"type": "plain_text", "text": text if len(text) <= longest else f"{text[: longest - 1]}…", "emoji": True}


def section(text: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def sections(lines: Iterable[str]) -> list[Json]:
    """Lines of markup, as many to a section as fit."""
    texts: list[str] = []
    for line in lines:
        short = line if len(line) <= LONGEST_SECTION else f"{line[: LONGEST_SECTION - 1]}…"
        if texts and len(texts[-1]) + len(short) < LONGEST_SECTION:
            texts[-1] += f"\n{short}"
        else:
            texts.append(short)
    return [section(text) for text in texts[:MOST_SECTIONS]]


def ephemeral(lines: Sequence[str], blocks: Sequence[Json] = ()) -> Json:
    """The answer to a command: only whoever typed it sees it."""
    return {"response_type": "ephemeral", "text": "\n".join(lines), "blocks": [*sections(lines), *blocks]}


def sentence(text: str) -> Json:
    """Plain words as the answer to a command."""
    return ephemeral([escape(text)])


def window(title: str, blocks: Sequence[Json], *, callback: str = "", submit: str = "", kept: Any = None) -> Json:
    """A modal. `kept` comes back with its submission."""
    view: Json = {
        "type": "modal",
        "callback_id": callback or "nothing",
        "title": plain(title, 24),
        "close": plain("Cancel" if submit else "Close", 24),
        "blocks": list(blocks),
    }
    if submit:
        view["submit"] = plain(submit, 24)
    if kept is not None:
        view["private_metadata"] = to_json(kept).decode()
    return view


def told(title: str, text: str) -> Json:
    """A modal that only says something."""
    return window(title, sections([escape(text)]))


def option(text: str, value: str) -> Json:
    return {"text": plain(text, LONGEST_OPTION), "value": value}


def choice(name: str, label: str, options: Sequence[Json]) -> Json:
    element = {"type": "static_select", "action_id": name, "options": list(options)[:MOST_OPTIONS]}
    return {"type": "input", "block_id": name, "label": plain(label), "element": element}


def someone(name: str, label: str) -> Json:
    element = {"type": "users_select", "action_id": name}
    return {"type": "input", "block_id": name, "label": plain(label), "element": element}


def words(name: str, label: str) -> Json:
    element = {"type": "plain_text_input", "action_id": name, "max_length": REASON}
    return {"type": "input", "block_id": name, "optional": True, "label": plain(label), "element": element}


def buttons(*found: Json) -> Json:
    return {"type": "actions", "elements": list(found)}


def button(name: str, label: str, value: str, style: str | None = None) -> Json:
    made: Json = {"type": "button", "action_id": name, "text": plain(label), "value": value}
    return made | {"style": style} if style else made


def home(blocks: Sequence[Json]) -> Json:
    return {"type": "home", "blocks": list(blocks)[:100]}
