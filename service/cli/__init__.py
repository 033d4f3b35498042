"""The command line: one module a noun, registered here; `main` is what the `rollcall` script calls."""

from importlib.metadata import version
from typing import Annotated

import typer

from service.cli import actions, events, imports, notion, people
from service.cli.demo import demo
from service.cli.doctor import doctor
from service.cli.exits import Commands, epilog
from service.cli.migrate import migrate
from service.cli.send import send
from service.cli.serve import serve
from service.cli.worker import worker

RUN, LOOK, MOVE = "Run", "Look and repair", "Bring in and compare"

app = typer.Typer(
    name="rollcall",
    cls=Commands,
    help="Keeps people in step across Clerk, Slack and Notion.",
    epilog=epilog(),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(rich_help_panel=RUN)(serve)
app.command(rich_help_panel=RUN)(worker)
app.command(rich_help_panel=RUN)(migrate)
app.command(rich_help_panel=RUN)(demo)
app.command(rich_help_panel=RUN)(send)
app.command(rich_help_panel=LOOK)(doctor)
app.add_typer(events.app, name="events", rich_help_panel=LOOK)
app.add_typer(actions.app, name="actions", rich_help_panel=LOOK)
app.add_typer(people.app, name="people", rich_help_panel=LOOK)
app.add_typer(imports.app, name="import", rich_help_panel=MOVE)
app.add_typer(notion.app, name="notion", rich_help_panel=MOVE)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rollcall {version('rollcall')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keeps people in step across Clerk, Slack and Notion."""


def main() -> None:
    app(prog_name="rollcall")
