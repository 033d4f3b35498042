"""`rollcall demo`: exit 0 only if everything agrees, and nothing is left behind however it ends."""

import asyncio
import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, text

from db import outbox
from db.database import Database
from handlers.notion.reconcile import Comparison, Drift
from handlers.notion.table import KEY
from service import demo as stage_of
from service.clock import now_ms
from service.demo import Demo, DemoFailed
from service.sandbox.people import clerk_event
from service.sandbox.story import FEWEST_PEOPLE
from service.verdict import Result, miscounted
from tests.processes import Starter
from tests.service.cli.conftest import Rollcall, said

command: Any = importlib.import_module("service.cli.demo")  # the package's own `demo` is the function

LIMIT_S = 90.0  # for what takes seconds on a machine that does nothing else
pytestmark = pytest.mark.sqlite_only("the demo makes a SQLite file of its own")

FEW = str(FEWEST_PEOPLE)


class Run:
    """A demo in a process group and a folder for temporary files of its own."""

    def __init__(self, processes: Starter, temporary: Path, *arguments: str) -> None:
        temporary.mkdir()
        self.temporary = temporary
        environment = {**os.environ, "TMPDIR": str(temporary)}
        self.child = processes.piped(Path.cwd(), environment, "demo", *arguments, session=True)

    def until(self, text: str, stream: str = "stderr") -> list[str]:
        """The lines up to the one with this text."""
        pipe, lines = getattr(self.child, stream), []
        while line := pipe.readline():
            lines.append(line.rstrip())
            if text in line:
                return lines
        raise AssertionError(f"it ended without saying {text!r}: {lines} {self.child.communicate()}")

    def end(self) -> tuple[int, str]:
        out, _ = self.child.communicate(timeout=LIMIT_S)
        return self.child.returncode, out

    @property
    def left(self) -> list[str]:
        """What it left: temporary folders, and `a process` where one of its group still runs."""
        try:
            os.killpg(self.child.pid, 0)
        except ProcessLookupError:
            return sorted(path.name for path in self.temporary.iterdir())
        return ["a process"]


@pytest.fixture
def run(folder: Path, processes: Starter) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(*arguments: str) -> Run:
        runs.append(Run(processes, folder / f"tmp{len(runs)}", *arguments))
        return runs[-1]

    yield start
    for one in runs:
        if one.left == ["a process"]:
            os.killpg(one.child.pid, signal.SIGKILL)
        one.child.communicate()


# -- as its user runs it --


def test_a_demo_agrees_record_by_record_and_leaves_nothing_behind(run: Callable[..., Run]) -> None:
    demo = run("--json", "--seed", "11", "--people", FEW)
    code, out = demo.end()
    result = json.loads(out)
    assert (code, result["agrees"], result["unexpected"], result["disagreements"]) == (0, True, [], 0)
    assert (result["agreement"], result["pages"]) == (1.0, result["people"])
    assert (result["calendar_agreement"], result["calendar_pages"]) == (1.0, result["shifts"])
    assert result["shifts"] >= 14 * 3 / 7 * 5  # two weeks of three rotations at the least
    answers = result["answers"]
    assert answers["rejected"] == 10  # every forgery, at both doors
    assert sum(answers.values()) == result["received"]
    assert sum(result["inbox"].values()) == result["received"] - answers["rejected"] - answers["duplicate"]
    assert {"applied", "ignored", "duplicate", "stale", "rejected"} <= answers.keys()
    assert Counter({kind: sum(count.values()) for kind, count in result["kinds"].items()}).total() == result["received"]
    assert demo.left == []


def test_after_the_day_slack_lists_whoever_joined_by_webhook(tmp_path: Path) -> None:
    """Else they are on call, and Slack has nobody of that id to tell."""
    demo = Demo(tmp_path, 7, FEWEST_PEOPLE, lambda _: None, lambda _: None, lambda _: None)
    demo._populate()
    joined = {one["id"] for one in demo.told.final_slack_users()} - demo.world.slack.users.keys()
    assert joined
    demo._let_platforms_know()
    assert joined <= demo.world.slack.users.keys()


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_a_demo_that_is_stopped_midway_leaves_nothing_behind(run: Callable[..., Run], how: str) -> None:
    demo = run("--people", FEW)
    demo.until("Rollcall at")
    if how == "Ctrl-C":
        os.killpg(demo.child.pid, signal.SIGINT)  # a terminal tells the whole group
    else:
        demo.child.terminate()
    code, out = demo.end()
    assert (code, out, demo.left) == (130, "", [])


def test_a_demo_that_stays_is_used_as_its_hints_say_and_ends_with_ctrl_c(run: Callable[..., Run]) -> None:
    demo = run("--stay", "--people", FEW)
    lines = demo.until("event.json renames somebody", "stdout")
    hints = [line.strip() for line in lines[lines.index("In another terminal:") + 1 : -1]]
    assert len(hints) == 7
    here = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    # The last five only look: at the same time, for each takes a second to start.
    looks = [f"{hint} > look{number} || touch failed{number} &" for number, hint in enumerate(hints[2:])]
    script = "\n".join(["set -e", *hints[:2], *looks, "wait"])
    subprocess.run(["bash", "-c", f"({script}) > said"], env=here, timeout=LIMIT_S, check=True)  # noqa: S603, S607
    assert Path("said").read_text().splitlines() == ['200 {"status":"applied"}']
    assert "Renamed" in Path("look0").read_text()
    assert "clerk    user.updated" in Path("look1").read_text()
    assert "agreement 100.0%" in Path("look2").read_text()
    assert "PM" in Path("look3").read_text()
    assert "not in a pool of PM" in Path("look4").read_text()
    assert list(Path().glob("failed*")) == []
    os.killpg(demo.child.pid, signal.SIGINT)
    assert (demo.end()[0], demo.left) == (0, [])


# -- what it says --


class Stub:
    """A demo that only has an end."""

    result = Result()
    told = SimpleNamespace(deliveries=[])
    process = None

    def __init__(self, folder: Path, *_: Any) -> None:
        self.folder = folder

    @asynccontextmanager
    async def stage(self) -> AsyncIterator[None]:
        (self.folder / "service.log").touch()
        yield

    async def play(self) -> Result:
        return self.result


def ending(monkeypatch: pytest.MonkeyPatch, folder: Path, result: Result) -> Path:
    """The command plays a demo that ends like this; the folder its temporary folder is made in."""
    temporary = folder / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(command, "Demo", type("Ends", (Stub,), {"result": result}))
    monkeypatch.setattr(command.tempfile, "tempdir", str(temporary))
    return temporary


def result(**changes: Any) -> Result:
    answers = {
        "clerk user.created": Counter(applied=3, duplicate=1),
        "clerk user.updated": Counter(applied=2, stale=4, rejected=5),
        "slack user_change": Counter(applied=1, ignored=6),
    }
    compared = {"comparison": Comparison(4, 4), "calendar": Comparison(6, 6)}
    return Result(**{"answers": answers, "people": 4, **compared, **changes})


def test_the_table_counts_every_answer_by_sender(
    rollcall: Rollcall, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = ending(monkeypatch, folder, result())
    ended = rollcall("demo")
    rows = [line.split() for line in ended.stdout.splitlines() if line.strip()]
    assert (ended.exit_code, list(temporary.iterdir())) == (0, [])
    assert rows[0] == ["webhooks", "Clerk", "Slack", "all"]
    assert ["received", "15", "7", "22"] in rows
    assert ["applied", "5", "1", "6"] in rows
    assert [row[:4] for row in rows if row[0] == "stale"] == [["stale", "4", "0", "4"]]
    assert "agreeing, record by record      4 of 4" in ended.stdout
    assert "agreeing, shift by shift        6 of 6" in ended.stdout
    assert "Notion shows exactly what the database says." in ended.stdout


DISAGREEING: dict[str, tuple[dict[str, Any], str]] = {
    "a page differs": ({"comparison": Comparison(4, 4, [Drift("different", "person:3", "x")])}, "different person:3"),
    "a row nobody asked for": ({"comparison": Comparison(4, 5, [Drift("not ours", None, "x")])}, "not ours"),
    "a person the story does not know": ({"unexpected": ["user_x is missing"]}, "user_x is missing"),
    "a shift is missing in the calendar": (
        {"calendar": Comparison(6, 5, [Drift("missing", "shift:2026-12-24:PM", None)])},
        "missing shift:2026-12-24:PM",
    ),
    "something still on its way": ({"comparison": Comparison(4, 4, [], 1)}, "They do not agree"),
}


@pytest.mark.parametrize("case", DISAGREEING)
def test_a_disagreement_ends_with_1_and_is_kept_for_a_look(
    rollcall: Rollcall, folder: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    changes, sentence = DISAGREEING[case]
    temporary = ending(monkeypatch, folder, result(**changes))
    ended = rollcall("demo")
    (kept,) = temporary.iterdir()
    assert (ended.exit_code, sentence in ended.stdout, "They do not agree" in ended.stdout) == (1, True, True)
    assert str(kept) in "".join(ended.stderr.split("\n"))


def test_json_is_all_there_is_on_stdout(rollcall: Rollcall, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ending(monkeypatch, folder, result(unexpected=["x"]))
    ended = rollcall("demo", "--json")
    assert (ended.exit_code, said(ended)["agrees"], said(ended)["received"]) == (1, False, 22)


def test_fewer_people_than_the_story_needs_are_refused(rollcall: Rollcall) -> None:
    assert rollcall("demo", "--people", str(FEWEST_PEOPLE - 1)).exit_code == 2


# -- the play itself --


def play(folder: Path, seed: int) -> Demo:
    return Demo(folder, seed, FEWEST_PEOPLE, lambda _: None, lambda _: None)


async def test_whatever_the_day_it_ends_as_the_story_says(tmp_path: Path) -> None:
    """Another day than those of the demos above and below, which end so too."""
    demo = play(tmp_path, 1)
    async with demo.stage():
        done = await demo.play()
    assert (done.unexpected, done.agrees) == ([], True)
    assert demo.process is not None
    assert demo.process.returncode == 0


async def test_what_was_tampered_with_is_seen(tmp_path: Path) -> None:
    demo = play(tmp_path, 3)
    async with demo.stage():
        assert (await demo.play()).agrees
        (edited, gone, *_) = demo.world.notion.pages_of(str(demo.settings.notion_people_data_source_id))
        demo.world.notion.edit(edited["id"], {"Role": {"select": {"name": "owner"}}})
        demo.world.notion.edit(gone["id"], in_trash=True)
        async with Database(demo.settings.database_url) as database:
            await database.write(_rename_and_lose)
            done = Result()
            await demo._judge(database, done)
    assert not done.agrees
    assert done.comparison is not None
    assert {drift.kind for drift in done.comparison.drifts} >= {"different", "missing"}
    said_ = "\n".join(done.unexpected)
    assert "is missing" in said_
    assert "name is 'Nobody'" in said_
    assert "0 webhooks were rejected, 10 were forged" in said_
    assert edited["properties"][KEY]["rich_text"][0]["plain_text"] in {d.key for d in done.comparison.drifts}


def _rename_and_lose(tx: Connection) -> None:
    tx.execute(text("UPDATE users SET name = 'Nobody' WHERE id = (SELECT max(id) FROM users)"))
    tx.execute(text("DELETE FROM users WHERE id = (SELECT min(id) FROM users WHERE id > 2)"))


@pytest.mark.parametrize(
    ("answers", "inbox", "wrong"),
    [
        (Counter(applied=3, rejected=2), {"applied": 3}, []),
        (Counter(applied=4, rejected=1), {"applied": 4}, ["1 webhooks were rejected, 2 were forged"]),
        (
            Counter(applied=3, rejected=2),
            {"applied": 2},
            ["3 different webhooks were accepted, the inbox holds 2"],
        ),
        (Counter(waiting=3, rejected=2), {"waiting": 3}, ["3 events are waiting"]),
        (Counter(failed=1, applied=2, rejected=2), {"failed": 1, "applied": 2}, ["1 events are failed"]),
    ],
)
def test_answers_that_do_not_add_up_are_seen(answers: Counter[str], inbox: dict[str, int], wrong: list[str]) -> None:
    told: Any = SimpleNamespace(deliveries=[SimpleNamespace(forged=kind) for kind in (None, "x", None, "y", None)])
    assert miscounted(told, Result({"clerk user.created": answers}, inbox)) == wrong


@pytest.mark.parametrize(
    ("executable", "sentence"),
    [("/bin/false", "ended before it listened"), ("sleeper", "did not start within 0.3 s")],
)
def test_a_service_that_does_not_start_ends_with_1_and_its_log_is_kept(
    rollcall: Rollcall, folder: Path, monkeypatch: pytest.MonkeyPatch, executable: str, sentence: str
) -> None:
    (folder / "sleeper").write_text("#!/bin/sh\nexec sleep 60\n")
    (folder / "sleeper").chmod(0o700)
    (folder / "tmp").mkdir()
    monkeypatch.setattr(sys, "executable", str(folder / executable))
    monkeypatch.setattr(stage_of, "START_S", 0.3)
    monkeypatch.setattr(command.tempfile, "tempdir", str(folder / "tmp"))
    ended = rollcall("demo", "--people", FEW)
    assert (ended.exit_code, sentence in ended.stderr) == (1, True)
    (kept,) = (folder / "tmp").iterdir()
    assert (kept / "service.log").is_file()


async def test_where_nothing_moves_the_demo_says_so(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage_of._settled(database)
    monkeypatch.setattr(stage_of, "STILL_S", 0.1)
    await database.write(outbox.mark, 1, ("notion",), "person:1", 1_000)
    with pytest.raises(DemoFailed, match="1 changes did not reach Notion"):
        await stage_of._settled(database)


async def test_the_list_that_is_read_again_in_an_hour_is_not_waited_for(database: Database) -> None:
    now = now_ms()
    await database.write(outbox.mark, 1, ("notion",), "users", now + 3_600_000)
    async with asyncio.timeout(5):
        await stage_of._settled(database)


def test_the_settings_of_this_machine_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_environment: None
) -> None:
    monkeypatch.setenv("ADMIN_EMAILS", "boss@example.com")
    monkeypatch.setenv("PORT", "not a number")
    demo = play(tmp_path, 1)
    demo.world.url = "http://127.0.0.1:9"
    demo.environment = demo._environment()
    assert (demo.settings.admin_emails, demo.settings.port) == (frozenset(), 8000)
    assert demo.settings.database_url == f"sqlite:///{tmp_path / 'rollcall.db'}"


async def test_the_hints_can_be_pasted_wherever_the_folder_lies(tmp_path: Path) -> None:
    odd = tmp_path / "it's a folder"
    odd.mkdir()
    demo = play(odd, 1)
    demo.world.url = "http://127.0.0.1:9"
    demo.environment = demo._environment()
    told: list[str] = []
    command._hints(demo, told.append)
    pasted = next(line for line in told[0].splitlines() if line.strip().startswith(". "))
    script = f'{pasted}\necho "$DATABASE_URL"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)  # noqa: ASYNC221, S603, S607
    assert done.stdout.strip() == f"sqlite:///{odd / 'rollcall.db'}"
    event = json.loads((odd / "event.json").read_text(encoding="utf-8"))
    assert event.keys() == clerk_event("user.updated", {}, 1).keys()
    assert shlex.quote(str(odd / "event.json")) in told[0]
