"""`rollcall notion …`: the People database and the two calendars are made or verified, and compared with ours."""

import re
from typing import Annotated, Any
from urllib.parse import parse_qs
from uuid import UUID

import typer

from db import outbox, people
from db.database import Database
from handlers.notion import calendar_cycle, setup
from handlers.notion.api import NotionApi
from handlers.notion.calendar import CURRENT, PAST, TABLES
from handlers.notion.directory import PEOPLE
from handlers.notion.setup import Schema
from handlers.notion.table import Table
from handlers.people.settling import person_key
from service import platforms
from service.cli import notion_reconcile, session
from service.cli.console import AsJson, note, print_json, say
from service.cli.exits import Misuse, Problem
from service.clock import now_ms
from service.context import context_of
from service.settings import Settings

PARTS: dict[str, Table] = {
    "NOTION_PEOPLE_DATA_SOURCE_ID": PEOPLE,
    "NOTION_CALENDAR_DATA_SOURCE_ID": TABLES[CURRENT],
    "NOTION_PAST_CALENDAR_DATA_SOURCE_ID": TABLES[PAST],
}
CALENDARS = tuple(PARTS)[1:]
PAGE_ID = re.compile(r"(?:^|-)([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$")

app = typer.Typer(
    no_args_is_help=True, help="The People directory and the calendar in Notion: set up, compare, repair."
)


@app.command("setup")
def set_up(
    parent: Annotated[
        str | None, typer.Option(help="Id or URL of the page to make the databases under.", metavar="PAGE")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Add properties that are missing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the People database and the two calendars, or verify those there are and name each difference."""

    async def work(settings: Settings, database: Database) -> dict[str, Schema]:
        api = _api(settings, database)
        try:
            return await _set_up(api, settings, parent, fix=fix)
        finally:
            await api.close()

    _print_schemas(session.run(work), as_json)


async def _set_up(api: NotionApi, settings: Settings, parent: str | None, *, fix: bool) -> dict[str, Schema]:
    known = {name: getattr(settings, name.lower()) for name in PARTS}
    if parent is None and not any(known.values()):
        raise Misuse(f"name the page to make the databases under: --parent PAGE (or set {', '.join(PARTS)})")
    page = page_id(parent) if parent is not None else None
    found = {}
    for name, table in PARTS.items():
        if known[name] is not None:
            found[name] = await setup.verify(api, known[name], table)
        elif page is not None:
            found[name] = await setup.create(api, page, table)
        if name in found and fix and found[name].differences:
            await setup.add_missing(api, found[name].data_source_id, table)
            found[name] = await setup.verify(api, found[name].data_source_id, table)
    return found


def _print_schemas(found: dict[str, Schema], as_json: bool) -> None:
    apart = []
    if all(name in found and not found[name].differences for name in CALENDARS):
        apart = setup.apart(found[CALENDARS[0]], found[CALENDARS[1]], (CURRENT, PAST))
    if as_json:
        print_json({"databases": [_row(name, schema) for name, schema in found.items()], "apart": apart})
    else:
        for name, schema in found.items():
            say(f"{'made' if schema.created else 'looked at'} the database {PARTS[name].title}")
            say(f"{name}={schema.data_source_id}")
    wrong = [f"{PARTS[name].title}: {one}" for name, schema in found.items() for one in schema.differences] + apart
    if wrong:
        raise Problem("\n".join([*wrong, "--fix adds what is missing; change the rest in Notion"]))
    if not as_json:
        lacking = [PARTS[name].title for name in PARTS if name not in found]
        if lacking:
            note(f"{' and '.join(lacking)}: not set up; --parent PAGE makes them")
        note("put these lines into the environment or .env, then run `rollcall notion reconcile`")


def _row(name: str, schema: Schema) -> dict[str, Any]:
    return {
        "setting": name,
        "title": PARTS[name].title,
        "data_source_id": schema.data_source_id,
        "created": schema.created,
        "differences": schema.differences,
    }


@app.command("reconcile")
def run_reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare only, repair nothing.")] = False,
    past: Annotated[
        bool, typer.Option("--past", help="Write finished pages of PAST CALENDAR too, after somebody was erased.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare every person and shift with their page, repair what differs, say what it was. Exit 1 if it still does."""

    async def work(settings: Settings, database: Database) -> notion_reconcile.Result:
        if not settings.notion_people_data_source_id and not settings.calendar:
            raise Misuse(f"neither {' nor '.join(PARTS)} is set: run `rollcall notion setup --parent PAGE`")
        api = _api(settings, database)
        try:
            return await notion_reconcile.run(settings, database, api, dry_run=dry_run, past=past)
        finally:
            await api.close()

    notion_reconcile.show(session.run(work), as_json)


@app.command("rebuild")
def rebuild(as_json: AsJson = False) -> None:
    """Mark every person, and every shift of this week and later; the service sends what differs from what it sent."""
    settings = session.settings()
    context = context_of(settings)

    def mark_all(tx: Any, now: int) -> int:
        keys = [person_key(one) for one in people.ids(tx)] if settings.notion_people_data_source_id else []
        marked = outbox.mark_many(tx, context.workspace_id, "notion", keys, now)
        return marked + (calendar_cycle.mark_upcoming(tx, context, now) if settings.calendar else 0)

    marked = session.write(mark_all, now_ms())
    print_json({"marked": marked}) if as_json else say(f"marked {marked} people and shifts")


def _api(settings: Settings, database: Database) -> NotionApi:
    if settings.notion_api_token is None:
        raise Misuse("NOTION_API_TOKEN is not set: copy it from the integration's page in Notion")
    return platforms.notion_api(settings, database, patient=True)


def page_id(text: str) -> str:
    """The id in a page's URL, or the id itself. notion-client's own helper does not know today's URLs."""
    path, _, query = text.strip().partition("#")[0].partition("?")
    peeked = parse_qs(query).get("p", [""])[-1]  # a page opened beside another
    for part in (peeked, path.rstrip("/").rpartition("/")[2]):
        if found := PAGE_ID.search(part.lower()):
            return str(UUID(found[1]))
    raise Misuse(f"{text!r} names no Notion page: copy its link (... > Copy link)")
