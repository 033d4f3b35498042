"""`rollcall demo`: how the demo looks to whoever watches it."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from handlers.notion.comparing import Comparison
from service import logs
from service.cli.console import AsJson, err, note, print_json, print_rows, say
from service.cli.exits import Code, Problem
from service.demo import Demo, DemoFailed, Say
from service.sandbox.people import clerk_event
from service.sandbox.senders import Receipt
from service.sandbox.story import FEWEST_PEOPLE
from service.verdict import Result

MEANING = {
    "applied": "",
    "waiting": "a sign-in before its person; applied once they came",
    "ignored": "nobody, or nothing, that Rollcall keeps",
    "duplicate": "delivered again",
    "stale": "older than what was known",
    "failed": "an error of ours",
    "rejected": "forged, or signed too long ago",
}
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def demo(
    people: Annotated[int, typer.Option(min=FEWEST_PEOPLE, max=2000, help="People who exist at the start.")] = 40,
    seed: Annotated[int, typer.Option(help="Another seed, another day.")] = 7,
    stay: Annotated[bool, typer.Option("--stay", help="Keep everything running, to send and look yourself.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the whole thing against a sandbox of Clerk, Slack and Notion on this machine. Exit 0 only if all agrees."""
    logs.configure("ERROR", "console")
    for name in [name for name in os.environ if name.lower() in PROXIES]:
        del os.environ[name]  # all of it is on loopback, and slack_sdk knows no exceptions
    folder = Path(tempfile.mkdtemp(prefix="rollcall-demo-"))
    keep = True
    try:
        with _watched(as_json) as watch:
            result = asyncio.run(
                _run(Demo(folder, seed, people, watch.step, watch.sent, watch.doing), watch, stay=stay)
            )
        keep = not result.agrees
    except (KeyboardInterrupt, asyncio.CancelledError):
        keep = False
        raise typer.Exit(Code.INTERRUPTED) from None
    except DemoFailed as failed:
        raise Problem(str(failed)) from None
    finally:
        _clear(folder, keep=keep)
    if not result.agrees:
        raise typer.Exit(Code.PROBLEM)


async def _run(demo_: Demo, watch: "_Watch", *, stay: bool) -> Result:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with demo_.stage():
        watch.expect(len(demo_.told.deliveries))
        result = await demo_.play()
        watch.stop()
        _print(result, watch)
        if stay:
            _hints(demo_, note if watch.as_json else say)
            await _until_told(demo_)
    return result


async def _until_told(demo_: Demo) -> None:
    """Until Ctrl-C or SIGTERM, which here are no interruption but the end. DemoFailed if the service ends first."""
    assert demo_.process is not None
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    ends = [asyncio.create_task(told.wait()), asyncio.create_task(demo_.process.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    await asyncio.sleep(0.1)  # Ctrl-C reaches the service as well, and perhaps before us
    if not told.is_set():
        raise DemoFailed("the service has ended: see service.log")


def _clear(folder: Path, *, keep: bool) -> None:
    if keep:
        note(f"kept for a look: rollcall.db and service.log in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _print(result: Result, watch: "_Watch") -> None:
    compared, calendar = result.comparison, result.calendar
    assert compared is not None
    assert calendar is not None
    if watch.as_json:
        _print_json(result, compared, calendar, watch.seconds)
        return
    _print_tables(result, compared, calendar)
    for line in result.unexpected:
        say(f"not as the story has it: {line}")
    for drift in (*compared.drifts, *calendar.drifts):
        say(f"Notion disagrees: {drift.kind} {drift.key}")
    end = "Notion shows exactly what the database says" if result.agrees else "They do not agree"
    say(f"{end}. It took {watch.seconds:.1f} s.")


def _print_json(result: Result, compared: Comparison, calendar: Comparison, seconds: float) -> None:
    print_json(
        {
            "received": result.total.total(),
            "answers": result.total,
            "kinds": result.answers,
            "inbox": result.inbox,
            "people": result.people,
            "pages": compared.pages,
            "agreement": compared.agreement,
            "disagreements": len(compared.drifts) + len(calendar.drifts),
            "shifts": calendar.records,
            "calendar_pages": calendar.pages,
            "calendar_agreement": calendar.agreement,
            "unexpected": result.unexpected,
            "agrees": result.agrees,
            "seconds": round(seconds, 1),
        }
    )


def _print_tables(result: Result, compared: Comparison, calendar: Comparison) -> None:
    of = {name: result.of(name) for name in ("clerk", "slack")} | {"all": result.total}
    rows: list[dict[str, Any]] = [{"what": "received", **{name: answers.total() for name, answers in of.items()}}]
    rows += [{"what": f"  {one}", **{name: answers[one] for name, answers in of.items()}} for one in MEANING]
    meanings = ("", *MEANING.values())
    rows = [{**row, "meaning": Text(meaning, "dim")} for row, meaning in zip(rows, meanings, strict=True)]
    columns = {"what": "webhooks", "clerk": "Clerk", "slack": "Slack", "all": "all", "meaning": ""}
    print_rows(rows, columns, fold=("meaning",))
    agreeing = round(compared.agreement * compared.records)
    shifts = round(calendar.agreement * calendar.records)
    print_rows(
        [
            {"what": "people in the database", "count": result.people},
            {"what": "pages in Notion", "count": compared.pages},
            {"what": "agreeing, record by record", "count": f"{agreeing} of {compared.records}"},
            {"what": "shifts planned", "count": calendar.records},
            {"what": "pages in the calendar", "count": calendar.pages},
            {"what": "agreeing, shift by shift", "count": f"{shifts} of {calendar.records}"},
            {"what": "as the story of that day says", "count": "all" if not result.unexpected else "not all"},
        ],
        {"what": "in the end", "count": ""},
    )


def _hints(demo_: Demo, tell: Say) -> None:
    """What to type to send something and to look at it."""
    environment = demo_.folder / "demo.env"
    lines = [f"export {name}={shlex.quote(value)}" for name, value in demo_.environment.items()]
    environment.write_text("\n".join([*lines, f"export ROLLCALL_URL={demo_.url}", ""]), encoding="utf-8")
    user = demo_.told.final_clerk_users()[0]
    renamed = {**user, "first_name": "Renamed", "updated_at": demo_.told.now_ms + 60_000}
    event = clerk_event("user.updated", renamed, demo_.told.now_ms + 60_000)
    (demo_.folder / "event.json").write_text(json.dumps(event, indent=2, ensure_ascii=False), encoding="utf-8")
    tell(f"""
It stays up until Ctrl-C. The sandbox: {demo_.world.url}   readiness: {demo_.url}/readyz
In another terminal:
  . {shlex.quote(str(environment))}
  rollcall send clerk {shlex.quote(str(demo_.folder / "event.json"))}
  rollcall people show {user["id"]}
  rollcall events list
  rollcall notion reconcile --dry-run
  rollcall oncall show
  rollcall oncall why monday PM
event.json renames somebody. Edit it and send it again; only what has a newer updated_at is news.""")


class _Watch:
    """Progress on stderr: each step done a line, what is being done a spinner, the webhooks a bar."""

    def __init__(self, as_json: bool) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"))
        self.as_json = as_json
        self._bar = Progress(*columns, console=err, transient=True, disable=as_json or not err.is_terminal)
        self._task = self._bar.add_task("building a sandbox", total=None, count="")
        self._began = time.monotonic()
        self._bar.start()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def stop(self) -> None:
        self._bar.stop()

    def step(self, text: str) -> None:
        if not self.as_json:
            note(f"{self.seconds:5.1f} s  {text}")

    def doing(self, text: str) -> None:
        self._bar.reset(self._task, total=None, description=text, count="")

    def expect(self, count: int) -> None:
        self._bar.reset(self._task, total=count, description="sending webhooks", count=f"0/{count}")

    def sent(self, receipt: Receipt) -> None:
        answer = receipt.body.get("status") if isinstance(receipt.body, dict) else receipt.status
        (task,) = self._bar.tasks
        count = f"{task.completed + 1:.0f}/{task.total:.0f}  {receipt.delivery.type}: {answer}"
        self._bar.update(self._task, advance=1, count=count)


@contextmanager
def _watched(as_json: bool) -> Iterator[_Watch]:
    watch = _Watch(as_json)
    try:
        yield watch
    finally:
        watch.stop()
