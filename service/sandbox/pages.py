"""The sandbox's own page: what the three platforms hold right now, for whoever watches a demo."""

from collections.abc import Awaitable, Callable
from html import escape
from typing import Any, Protocol

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from service.sandbox.clerk import Clerk, primary_email
from service.sandbox.journal import Journal
from service.sandbox.notion import Notion
from service.sandbox.notion_text import plain
from service.sandbox.slack import Slack
from service.sandbox.wire import Json

LATEST = 50
ROWS = 500
Endpoint = Callable[[Request], Awaitable[Response]]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; } small, .none { color: #888; }
div { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9em; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: #888; font-weight: 600; white-space: nowrap; }
"""


class Shown(Protocol):
    """What the page shows of a World."""

    requests: Journal
    notion: Notion
    slack: Slack
    clerk: Clerk


def overview(world: Shown) -> Endpoint:
    async def page(_request: Request) -> Response:
        return HTMLResponse(_document(world))

    return page


def state(world: Shown) -> Endpoint:
    """The same as JSON, whole: for scripts and for tests that live in another process."""

    async def answer(_request: Request) -> Response:
        return Response(to_json(_state(world)), media_type="application/json")

    return answer


def _state(world: Shown) -> Json:
    sources = world.notion.store.data_sources
    return {
        "notion": {
            source_id: {"title": plain(source.title), "rows": world.notion.rows(source_id)}
            for source_id, source in sources.items()
        },
        "slack": {"users": list(world.slack.users.values()), "messages": world.slack.messages},
        "clerk": {"users": list(world.clerk.users.values())},
        "requests": _requests(world.requests),
    }


def _requests(journal: Journal) -> list[Json]:
    return [
        {
            "at": f"{request.at:%H:%M:%S.%f}"[:-3],
            "platform": request.platform,
            "method": request.method,
            "path": request.path,
            "status": request.status,
            "fault": request.fault,
        }
        for request in journal
    ]


def _document(world: Shown) -> str:
    parts = ["<h1>Rollcall sandbox</h1><p><small>What the platforms hold. Reload to look again.</small></p>"]
    for source_id, source in list(world.notion.store.data_sources.items()):
        rows = world.notion.rows(source_id)
        parts.append(_section(f"Notion: {plain(source.title)}", rows))
    messages = [{"channel": m["channel"], "text": m["text"], "ts": m["ts"]} for m in world.slack.messages]
    parts.append(_section("Slack: messages", messages[::-1]))
    parts.append(_section("Slack: people", [_slack_person(u) for u in list(world.slack.users.values())]))
    parts.append(_section("Clerk: users", [_clerk_person(u) for u in list(world.clerk.users.values())]))
    parts.append(_section("Last requests", _requests(Journal(world.requests[-LATEST:][::-1]))))
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>Rollcall sandbox</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'


def _slack_person(user: Json) -> Json:
    profile = user.get("profile", {})
    name = profile.get("real_name") or user.get("name")
    return {
        "id": user["id"],
        "name": name,
        "email": profile.get("email"),
        "deleted": user.get("deleted"),
    }


def _clerk_person(user: Json) -> Json:
    name = " ".join(part for part in (user.get("first_name"), user.get("last_name")) if part)
    return {"id": user["id"], "name": name, "email": primary_email(user), "banned": user.get("banned")}


def _section(title: str, rows: list[Json]) -> str:
    heading = f"<h2>{escape(title)} <small>{len(rows)}</small></h2>"
    if not rows:
        return f'{heading}<p class="none">Nothing yet.</p>'
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    lines = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>" for row in rows[:ROWS]
    )
    return f"{heading}<div><table><tr>{head}</tr>{lines}</table></div>"


def _cell(value: Any) -> str:
    if value is None or value in ("", []):
        return ""
    if isinstance(value, dict) and "start" in value:
        value = " → ".join(moment for moment in (value["start"], value["end"]) if moment)
    return escape(", ".join(map(str, value)) if isinstance(value, list) else str(value))
