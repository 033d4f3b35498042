"""The doctor at home: the database, and what lies in it that needs somebody."""

from dataclasses import dataclass

from sqlalchemy import Connection

import migrations
from db import inbox, limits, outbox, people
from db.database import Database, database_file
from db.limits import Gate
from service.cli.doctor.check import Check, failed, off, ok, warning
from service.clock import now_ms
from service.health import BEAT_MISSED_MS, LATE_MS, is_worked, probe
from service.settings import WORKER, Settings

TARGET = 0.8  # S1.9: people with both ids


@dataclass(frozen=True, slots=True)
class Facts:
    """One look into the database."""

    coverage: people.Coverage
    gates: dict[str, Gate]
    dead: int
    failed: int
    oldest_due: int | None
    worked: bool


def look(tx: Connection, now: int) -> Facts:
    return Facts(
        coverage=people.coverage(tx),
        gates=limits.all_gates(tx),
        dead=outbox.dead(tx),
        failed=inbox.failed(tx),
        oldest_due=outbox.oldest_due(tx, now),
        worked=is_worked(tx, now),
    )


def missing_file(settings: Settings) -> Check | None:
    path = database_file(settings.database_url)
    return (
        None
        if path is None or path.is_file()
        else failed("database", f"there is no file {path}", "run `rollcall migrate`")
    )


async def database_checks(database: Database) -> list[Check]:
    """Opens, is at this version, can be written, survives a reader beside a writer."""
    head, mode = migrations.head(), await database.read(journal_mode)
    revision = await database.read(migrations.current)
    if revision != head:
        newer = revision is not None and revision > head
        fix = "install the newer version of Rollcall" if newer else "run `rollcall migrate`"
        return [ok("database", "opens"), failed("migrations", f"at {revision or 'base'}, not at {head}", fix)]
    await database.write(probe, now_ms())
    if mode != "wal":
        fix = "put the file on a local disk, stop everything that uses it, and start again"
        return [warning("database", f"can be written; its journal mode is {mode}, not WAL", fix), _at(head)]
    return [ok("database", "can be written; WAL"), _at(head)]


def _at(head: str) -> Check:
    return ok("migrations", f"at {head}")


def journal_mode(tx: Connection) -> str:
    return str(tx.exec_driver_sql("PRAGMA journal_mode").scalar_one())


async def state_checks(settings: Settings, database: Database) -> list[Check]:
    """Coverage, sinks, marks and events."""
    now = now_ms()
    facts = await database.read(look, now)
    return [
        coverage_check(settings, facts.coverage),
        *(sink_check(sink, facts.gates.get(sink, Gate())) for sink in sorted(settings.sinks)),
        *([worker_check(facts)] if settings.relay == WORKER else []),
        marks_check(facts, now),
        events_check(facts),
    ]


def coverage_check(settings: Settings, coverage: people.Coverage) -> Check:
    """S1.9: over 80 % of active people with both ids."""
    if "notion" not in settings.sinks or not (settings.slack_bot_token or settings.slack_signing_secret):
        return off("coverage", "needs both Slack and Notion")
    if not coverage.people:
        return warning("coverage", "nobody is known yet", "run `rollcall import clerk`")
    found = f"{coverage.share:.0%} of {coverage.people} active people have both a Slack and a Notion id"
    if coverage.share > TARGET:
        return ok("coverage", found)
    return warning("coverage", f"{found}; the target is over {TARGET:.0%}", "; ".join(_coverage_fixes(coverage)))


def _coverage_fixes(coverage: people.Coverage) -> list[str]:
    enough, fixes = TARGET * coverage.people, []
    if coverage.slack <= enough:
        fixes.append(f"{coverage.slack} have a Slack id: run `rollcall import slack`")
    if coverage.notion <= enough:
        fixes.append(f"{coverage.notion} have a Notion id: `rollcall serve` reads Notion's members every hour")
    return fixes or ["some have the one, others the other: see `rollcall people list`"]


def sink_check(sink: str, gate: Gate) -> Check:
    name = f"{sink} delivery"
    if gate.off:
        return failed(name, f"off: {gate.reason}", "renew the token, then restart `rollcall serve`")
    if gate.paused and gate.failures >= limits.ALERT_AT:
        return failed(
            name, f"paused after {gate.failures} failures: {gate.reason}", "it resumes by itself once that works"
        )
    if gate.paused:
        return warning(name, f"paused for the moment: {gate.reason}", "wait: it is tried again by itself")
    return ok(name, "not paused")


def worker_check(facts: Facts) -> Check:
    if facts.worked:
        return ok("worker", "at work")
    return failed("worker", f"none was at work for {BEAT_MISSED_MS // 1000} s", "start `rollcall worker`")


def marks_check(facts: Facts, now: int) -> Check:
    if facts.dead:
        fix = "look with `rollcall actions list --status dead`, then `rollcall actions retry --dead`"
        return failed("actions", f"{facts.dead} dead", fix)
    if facts.oldest_due is not None and now - facts.oldest_due > LATE_MS:
        waits = f"the oldest has been due for {(now - facts.oldest_due) // 1000} s"
        return warning(
            "actions",
            waits,
            "is `rollcall serve` running (with RELAY=worker: `rollcall worker`), and are all sinks on?",
        )
    return ok("actions", "none dead, none late")


def events_check(facts: Facts) -> Check:
    if facts.failed:
        fix = "look with `rollcall events list --status failed`, then `rollcall events replay --failed`"
        return failed("events", f"{facts.failed} failed", fix)
    return ok("events", "none failed")
