"""`rollcall demo`: how the demo looks to whoever watches it."""

import asyncio
import json
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from handlers.notion.reconcile import Comparison
from service import logs
from service.cli.console import AsJson, err, note, print_json, print_rows, say
from service.cli.exits import Code, Problem
from service.demo import Demo, DemoFailed, Result
from service.sandbox.people import clerk_event
from service.sandbox.senders import Receipt
from service.sandbox.story import FEWEST_PEOPLE

ANSWERS = ("applied", "ignored", "duplicate", "stale", "waiting", "failed", "rejected")


def demo(
    people: Annotated[int, typer.Option(min=FEWEST_PEOPLE, max=2000, help="People who exist at the start.")] = 40,
    seed: Annotated[int, typer.Option(help="Another seed, another day.")] = 7,
    stay: Annotated[bool, typer.Option("--stay", help="Keep everything running, to send and look yourself.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole thing against a sandbox of Clerk, Slack and Notion on this machine. Exit 0 only if all agrees."""
    logs.configure("ERROR", "console")
    with _folder(keep=stay) as folder, _bar(as_json) as (say_step, sent, total):
        result = asyncio.run(_run(Demo(folder, seed, people, say_step, sent), total, stay=stay, as_json=as_json))
    if not result.agrees:
        raise typer.Exit(Code.PROBLEM)


async def _run(demo_: Demo, total: Any, *, stay: bool, as_json: bool) -> Result:
    try:
        async with demo_.stage():
            total(len(demo_.told.deliveries))
            result = await demo_.play()
            _print(result, as_json)
            if stay:
                _hints(demo_)
                await asyncio.Event().wait()
    except DemoFailed as failed:
        raise Problem(str(failed)) from None
    return result


def _print(result: Result, as_json: bool) -> None:
    compared = result.comparison
    assert compared is not None
    if as_json:
        print_json(
            {
                "received": result.answers.total(),
                "answers": result.answers,
                "inbox": result.inbox,
                "people": result.people,
                "pages": compared.pages,
                "agreement": compared.agreement,
                "disagreements": len(compared.drifts),
                "unexpected": result.unexpected,
                "agrees": result.agrees,
            }
        )
        return
    rows = [{"what": "events received", "count": result.answers.total(), "now": sum(result.inbox.values())}]
    rows += [{"what": f"  {name}", "count": result.answers[name], "now": result.inbox.get(name)} for name in ANSWERS]
    print_rows(rows, {"what": "", "count": "answered", "now": "in the inbox"})
    print_rows(_agreement(result, compared), {"what": "", "count": "count"})
    for line in result.unexpected:
        say(f"not as the story has it: {line}")
    for drift in compared.drifts:
        say(f"Notion disagrees: {drift.kind} {drift.key}")
    say("Notion shows exactly what the database says." if result.agrees else "They do not agree.")


def _agreement(result: Result, compared: Comparison) -> list[dict[str, Any]]:
    agreeing = round(compared.agreement * compared.people)
    return [
        {"what": "people in the database", "count": result.people},
        {"what": "pages in Notion", "count": compared.pages},
        {"what": "agreeing, record by record", "count": f"{agreeing} of {compared.people} ({compared.agreement:.1%})"},
        {"what": "people as the story says", "count": "all" if not result.unexpected else "not all"},
    ]


def _hints(demo_: Demo) -> None:
    """What to type to send something and to look at it."""
    environment = demo_.folder / "demo.env"
    lines = [f"export {name}={shlex.quote(value)}" for name, value in demo_.environment.items()]
    environment.write_text("\n".join([*lines, f"export ROLLCALL_URL={demo_.url}", ""]), encoding="utf-8")
    user = demo_.told.final_clerk_users()[0]
    renamed = {**user, "first_name": "Renamed", "updated_at": demo_.told.now_ms + 60_000}
    event = clerk_event("user.updated", renamed, demo_.told.now_ms + 60_000)
    (demo_.folder / "event.json").write_text(json.dumps(event, indent=2, ensure_ascii=False), encoding="utf-8")
    say(f"""
It stays up until Ctrl-C. The sandbox: {demo_.world.url}   readiness: {demo_.url}/readyz
In another terminal:
  . {environment}
  rollcall send clerk {demo_.folder / "event.json"}     a signed user.updated; edit it and send it again
  rollcall people show {user["id"]}
  rollcall events list
  rollcall notion reconcile --dry-run""")


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rollcall-demo-"))
    try:
        yield folder
    except BaseException:
        note(f"what was left is in {folder}")
        raise
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _bar(as_json: bool) -> Iterator[tuple[Any, Any, Any]]:
    """Progress on stderr: each step a line, the deliveries a bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[last]}"))
    with Progress(*columns, console=err, transient=True, disable=as_json or not err.is_terminal) as bar:
        task = bar.add_task("webhooks", total=None, last="")

        def sent(receipt: Receipt) -> None:
            answer = receipt.body.get("status") if isinstance(receipt.body, dict) else receipt.status
            bar.update(task, advance=1, last=f"{receipt.delivery.type}: {answer}")

        def total(count: int) -> None:
            bar.update(task, total=count)

        def step(text: str) -> None:
            if not as_json:
                note(text)

        yield step, sent, total
