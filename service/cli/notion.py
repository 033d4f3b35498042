"""`rollcall notion …`: the People database is made or verified, and compared with ours."""

import re
from collections import Counter
from typing import Annotated, Any
from urllib.parse import parse_qs
from uuid import UUID

import typer

from db import limits, outbox, people
from db.database import Database
from handlers.notion import reconcile, setup
from handlers.notion.api import NotionApi
from handlers.notion.reconcile import REPAIRED, UNKNOWN, Comparison
from handlers.notion.sink import NotionSink
from handlers.people.recording import person_key
from service import platforms
from service.cli import session
from service.cli.console import AsJson, note, print_json, print_rows, say
from service.cli.exits import Code, Misuse, Problem
from service.clock import now_ms
from service.relay import SinkLoop
from service.settings import Settings

SETTING = "NOTION_PEOPLE_DATA_SOURCE_ID"
PAGE_ID = re.compile(r"(?:^|-)([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$")
SHOWN = 20  # drifting records in the table; --json has them all

app = typer.Typer(no_args_is_help=True, help="The People directory in Notion: set it up, compare it, repair it.")


@app.command("setup")
def set_up(
    parent: Annotated[
        str | None, typer.Option(help="Id or URL of the page to make the People database under.", metavar="PAGE")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Add properties that are missing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the People database, or verify the one there is and name each difference."""

    async def work(settings: Settings, database: Database) -> setup.Schema:
        api = _api(settings, database)
        try:
            return await _set_up(api, settings, parent, fix=fix)
        finally:
            await api.close()

    _print_schema(session.run(work), as_json)


async def _set_up(api: NotionApi, settings: Settings, parent: str | None, *, fix: bool) -> setup.Schema:
    known = settings.notion_people_data_source_id
    if known is None and parent is None:
        raise Misuse(f"name the page to make the database under: --parent PAGE (or set {SETTING})")
    schema = await (setup.verify(api, known) if known else setup.create(api, page_id(parent or "")))
    if fix and schema.differences:
        await setup.add_missing(api, schema.data_source_id)
        schema = await setup.verify(api, schema.data_source_id)
    return schema


def _print_schema(schema: setup.Schema, as_json: bool) -> None:
    if as_json:
        print_json(
            {"data_source_id": schema.data_source_id, "created": schema.created, "differences": schema.differences}
        )
    else:
        say("made the People database" if schema.created else "looked at the People database")
        say(f"{SETTING}={schema.data_source_id}")
    if schema.differences:
        raise Problem("\n".join([*schema.differences, "--fix adds what is missing; change the rest in Notion"]))
    if not as_json:
        note("put that line into the environment or .env, then run `rollcall notion reconcile`")


@app.command("reconcile")
def run_reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compare only, repair nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare every person with their page, repair what differs, and say what it was. Exit 1 if it still differs."""

    async def work(settings: Settings, database: Database) -> tuple[Comparison, Comparison]:
        data_source_id = settings.notion_people_data_source_id
        if data_source_id is None:
            raise Misuse(f"{SETTING} is not set: run `rollcall notion setup --parent PAGE`")
        api, context = _api(settings, database), platforms.context(settings)
        try:
            if dry_run:
                found = await reconcile.compare(database, api, data_source_id, context)
                return found, found
            found = await reconcile.reconcile(database, api, data_source_id, context, now_ms)
            if not found.disagreements and not found.unsettled:
                return found, found
            # Notion has just answered: a pause that a failure left behind ends here.
            await database.write(limits.resume, "notion")
            await SinkLoop(database, NotionSink(api, data_source_id, context), context).drain()
            return found, await reconcile.compare(database, api, data_source_id, context)
        finally:
            await api.close()

    found, after = session.run(work)
    _print_drift(found, after, as_json)
    if after.disagreements:
        raise typer.Exit(Code.PROBLEM)


def _print_drift(found: Comparison, after: Comparison, as_json: bool) -> None:
    counts = Counter(drift.kind for drift in found.drifts)
    left = Counter(drift.kind for drift in after.drifts)
    if as_json:
        print_json(
            {
                "people": after.people,
                "pages": after.pages,
                "agreement": after.agreement,
                "found": counts,
                "left": left,
                "unsettled": after.unsettled,
                "drifts": [_row(drift) for drift in found.drifts],
            }
        )
        return
    kinds = (*REPAIRED, UNKNOWN)
    print_rows(
        [{"kind": kind, "found": counts[kind], "left": left[kind]} for kind in kinds],
        {"kind": "drift", "found": "found", "left": "left"},
    )
    if found.drifts:
        rows = [_row(drift) for drift in found.drifts[:SHOWN]]
        print_rows(rows, {"kind": "drift", "key": "key", "page": "page", "differs": "differs"}, fold=("differs",))
    if after.unsettled:
        note(f"{after.unsettled} keys were on their way while we looked: run it again in a moment")
    say(f"{after.people} people, {after.pages} pages, agreement {after.agreement:.1%}")


def _row(drift: reconcile.Drift) -> dict[str, Any]:
    return {
        "kind": drift.kind,
        "key": drift.key,
        "page": drift.page_id,
        "differs": [one[0] for one in drift.properties],
    }


@app.command("rebuild")
def rebuild(as_json: AsJson = False) -> None:
    """Mark every person as out of date at Notion; the service sends what differs from what it last sent."""
    workspace = platforms.context(session.settings()).workspace_id

    def mark_all(tx: Any, now: int) -> int:
        return outbox.mark_many(tx, workspace, "notion", [person_key(one) for one in people.ids(tx)], now)

    marked = session.write(mark_all, now_ms())
    print_json({"marked": marked}) if as_json else say(f"marked {marked} people")


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
