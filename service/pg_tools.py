"""PostgreSQL's own tools for backup and restore: found on the PATH, run with the password in the environment."""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import make_url

from db.copies import Copy, NotACopy
from db.database import Unavailable

INSTALL = (
    "install PostgreSQL's client programs, of the server's version or newer (Debian: apt-get install postgresql-client)"
)
RESTORE = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error")


def dump(url: str, target: Path) -> Copy:
    """The whole database in pg_dump's own format, its owner's alone; `target` appears whole or not at all."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        _run("pg_dump", url, "--format=custom", "--no-owner", f"--file={part}")
        found = inspect(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return Copy(target, found.size, None, {})


def inspect(path: Path) -> Copy:
    """Can pg_restore read its table of contents? Raises NotACopy."""
    if not path.is_file():
        raise NotACopy(f"there is no file {path}")
    listed = subprocess.run([_found("pg_restore"), "--list", path], capture_output=True, text=True, check=False)  # noqa: S603
    if listed.returncode or "alembic_version" not in listed.stdout:
        said = listed.stderr.strip().splitlines()
        raise NotACopy(f"{path} is no copy made by `rollcall backup`{': ' + said[-1] if said else ''}")
    return Copy(path, path.stat().st_size, None, {})


def restore(url: str, path: Path) -> None:
    """Replace everything by the copy, in one transaction."""
    _run("pg_restore", url, *RESTORE, str(path))


def _run(tool: str, url: str, *arguments: str) -> None:
    parsed = make_url(url).set(drivername="postgresql")
    environment = {**os.environ}
    if parsed.password:
        environment["PGPASSWORD"] = parsed.password  # a process's arguments are for all to read
        parsed = parsed.set(password=None)
    command = [_found(tool), f"--dbname={parsed.render_as_string(hide_password=False)}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        hint = f"; {INSTALL}" if "version mismatch" in done.stderr else ""
        raise Unavailable(f"{tool} failed: {said[0]}{hint}")


def _found(tool: str) -> str:
    path = shutil.which(tool)
    if path is None:
        raise Unavailable(f"{tool} is not on the PATH: {INSTALL}")
    return path
