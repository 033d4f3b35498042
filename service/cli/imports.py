"""`rollcall import …`: people who existed before the service did, from Clerk, from Slack, from a roster file."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from db.database import Database
from handlers.clerk.api import ClerkApi
from handlers.clerk.importing import ClerkImport
from handlers.people import roster as rosters
from handlers.people.enrolling import enroll, roster
from handlers.people.importing import Tally
from handlers.slack.api import web_client
from handlers.slack.importing import SlackImport
from service.cli import session
from service.cli.console import AsJson, err, note, print_json, print_record, say
from service.cli.exits import Misuse
from service.cli.files import read_text, write_text
from service.clock import now_ms
from service.context import context_of
from service.limiter import Limiter, interval_ms
from service.settings import Settings

CLERK_INTERVAL_MS = interval_ms(10)  # a development instance takes 100 requests in 10 s

app = typer.Typer(no_args_is_help=True, help="Bring in people from Clerk, Slack or a roster file.")


@app.command("clerk")
def import_clerk(as_json: AsJson = False) -> None:
    """Everybody Clerk's Backend API lists; then who is deleted there. Safe to repeat, goes on where it stopped."""

    async def work(settings: Settings, database: Database) -> Tally:
        if settings.clerk_secret_key is None:
            raise Misuse("CLERK_SECRET_KEY is not set: copy it from Clerk's API keys page")
        limiter = Limiter(database, "clerk", CLERK_INTERVAL_MS, now_ms, patient=True)
        api = ClerkApi(settings.clerk_secret_key.get_secret_value(), settings.clerk_base_url, limiter.turn)
        try:
            with _progress("Clerk") as told:
                return await ClerkImport(database, context_of(settings), now_ms, told, api=api).run()
        finally:
            await api.close()

    _print(session.run(work), as_json)


@app.command("slack")
def import_slack(as_json: AsJson = False) -> None:
    """Everybody of the Slack team (users.list). Safe to repeat."""

    async def work(settings: Settings, database: Database) -> Tally:
        if settings.slack_bot_token is None:
            raise Misuse("SLACK_BOT_TOKEN is not set: copy it from OAuth & Permissions of the Slack app")
        client = web_client(settings.slack_bot_token.get_secret_value(), settings.slack_base_url)
        with _progress("Slack") as told:
            return await SlackImport(database, context_of(settings), now_ms, told, client=client).run()

    _print(session.run(work), as_json)


@app.command("roster")
def import_roster(
    file: Annotated[Path, typer.Argument(help="CSV (email,name,rotations) or YAML.", metavar="FILE")],
    replace: Annotated[bool, typer.Option("--replace", help="Forget whoever is not in the file.")] = False,
    export: Annotated[bool, typer.Option("--export", help="The reverse: write the roster to FILE.")] = False,
    as_json: AsJson = False,
) -> None:
    """Who is in which rotation (AM, Core, PM), by address. All lines are taken, or none."""
    form = _form(file)
    if export:
        if replace:
            raise Misuse("--export and --replace exclude each other")
        entries = session.read(roster)
        write_text(file, rosters.write(entries, form))
        print_json({"file": str(file), "people": len(entries)}) if as_json else say(f"{len(entries)} people in {file}")
        return
    try:
        entries = rosters.read(read_text(file, "a roster", rosters.LONGEST), form)
    except rosters.BadRoster as bad:
        raise Misuse("\n".join([*bad.complaints, f"nothing was imported from {file}"])) from None
    context = context_of(session.settings())
    done = session.write(enroll, entries, context, now_ms(), replace=replace)
    if as_json:
        print_json(asdict(done))
        return
    print_record(asdict(done))
    if done.retired:
        note("retired: these addresses belong to people deleted in Clerk; they are kept, but are nobody")


def _progress(source: str) -> Any:
    return _Told(source)


class _Told:
    """A line of progress on stderr while an import runs, where somebody is watching."""

    def __init__(self, source: str) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._source = source

    def __enter__(self) -> Any:
        self._bar.start()
        task = self._bar.add_task(f"reading {self._source}")

        def told(tally: Tally) -> None:
            text = f"reading {self._source}: {tally.listed} listed, {tally.recorded} recorded"
            self._bar.update(task, description=text)

        return told

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()


def _print(tally: Tally, as_json: bool) -> None:
    if as_json:
        print_json(asdict(tally))
        return
    print_record(asdict(tally))
    if tally.stale:
        note("stale: what was known already is as new or newer")
    if tally.skipped:
        note("skipped: bots, other teams, or entries that cannot be read (these are in the log)")


def _form(file: Path) -> str:
    form = {".csv": "csv", ".yaml": "yaml", ".yml": "yaml"}.get(file.suffix.lower())
    if form is None:
        raise Misuse(f"{file}: name it .csv or .yaml, so that its format is known")
    return form
