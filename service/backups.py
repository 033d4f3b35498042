"""Backups made by the service itself: a copy now and then, and which of them may go."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from db import copies
from db.copies import Copy
from db.database import Database
from db.sqlite import SqliteFile

log = structlog.get_logger()

BACKUP = "backup"  # the key of its mark
NAME = "rollcall-%Y%m%dT%H%M%SZ.db"
NAMED = re.compile(r"rollcall-\d{8}T\d{6}Z\.(db|dump)")
RECENT = 4  # copies kept besides the newest of each day


def name_at(now: int, ending: str = ".db") -> str:
    """What a copy made at this moment (ms) is called: names sort as times do."""
    return datetime.fromtimestamp(now / 1000, UTC).strftime(NAME.removesuffix(".db")) + ending


def surplus(names: Iterable[str], keep_days: int) -> list[str]:
    """Pure. What may go: kept are the newest of each of the last `keep_days` days on which there is one, and RECENT.

    Only names of our own making are named.
    """
    ours = sorted((name for name in names if NAMED.fullmatch(name)), reverse=True)
    newest: dict[str, str] = {}
    for name in ours:
        newest.setdefault(name[:17], name)
    kept = {*ours[:RECENT], *list(newest.values())[:keep_days]}
    return sorted(set(ours) - kept)


def prune(folder: Path, keep_days: int) -> list[str]:
    """Delete the copies that may go; returns their names."""
    gone = surplus((file.name for file in folder.iterdir()), keep_days)
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    return gone


def back_up(source: SqliteFile, folder: Path, keep_days: int, now: int) -> tuple[Copy, list[str]]:
    """One copy into the folder; what it makes superfluous goes."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return copies.copy_out(source, folder / name_at(now)), prune(folder, keep_days)


@dataclass(frozen=True, slots=True)
class Backup:
    """The job that does so every so often."""

    source: SqliteFile
    folder: Path
    every_minutes: int
    keep_days: int

    async def run(self, _database: Database, now: int) -> int:
        copy, gone = await asyncio.to_thread(back_up, self.source, self.folder, self.keep_days, now)
        log.info("backed_up", file=str(copy.path), bytes=copy.size, deleted=len(gone))
        return now + self.every_minutes * 60_000
