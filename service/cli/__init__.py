"""The command line: one module a noun, loaded when it is asked for; `main` is what the `rollcall` script calls.

All modules together take seconds to import, most of it platforms' libraries, which a look at the database need not
wait for.
"""

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from service.cli.exits import Commands, epilog

RUN, LOOK, MOVE, KEEP = "Run", "Look and repair", "Bring in and compare", "Keep and forget"

# The panel of `--help`, and the modules; the first of them has the group (`app`) or a function of that name.
COMMANDS: dict[str, tuple[str, ...]] = {
    "serve": (RUN, "serve"),
    "worker": (RUN, "worker"),
    "migrate": (RUN, "migrate"),
    "demo": (RUN, "demo"),
    "send": (RUN, "send"),
    "doctor": (LOOK, "doctor"),
    "events": (LOOK, "events"),
    "actions": (LOOK, "actions"),
    "people": (LOOK, "people"),
    "oncall": (LOOK, "oncall", "oncall_change", "oncall_setup"),
    "import": (MOVE, "imports"),
    "notion": (MOVE, "notion"),
    "backup": (KEEP, "backup"),
    "restore": (KEEP, "backup"),
    "erase": (KEEP, "erase"),
    "promote": (KEEP, "promote"),
}
VERSION = "--version"


def command_line(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands."""
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
    app.callback()(root)
    for name in names:
        panel, *places = COMMANDS[name]
        module, *_ = [import_module(f"{__name__}.{place}") for place in places]
        if group := getattr(module, "app", None):
            app.add_typer(group, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(getattr(module, name))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rollcall {version('rollcall')}")
        raise typer.Exit


def root(
    _version: Annotated[
        bool, typer.Option(VERSION, callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keeps people in step across Clerk, Slack and Notion."""


def main() -> None:
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first == VERSION:
        wanted = command_line(())
    elif first in COMMANDS:
        wanted = command_line([first])
    else:
        wanted = command_line()  # the help, or a word that is none: say which there are
    wanted(prog_name="rollcall")
