"""What the database itself promises of a commit, for the doctor: a setting of a file or server that weakens it."""

from dataclasses import dataclass

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Promise:
    """`kept`: what holds. `broken`: what does not, and `fix`, what to do; None where all is well."""

    kept: str
    broken: str | None = None
    fix: str = ""


def promise(tx: Connection) -> Promise:
    return _of_sqlite(tx) if tx.dialect.name == "sqlite" else _of_postgresql(tx)


def _of_sqlite(tx: Connection) -> Promise:
    mode = str(tx.exec_driver_sql("PRAGMA journal_mode").scalar_one())
    if mode == "wal":
        return Promise("WAL")
    fix = "put the file on a local disk, stop everything that uses it, and start again"
    return Promise("", f"its journal mode is {mode}, not WAL", fix)


def _of_postgresql(tx: Connection) -> Promise:
    def setting(name: str) -> str:
        return str(tx.exec_driver_sql(f"SHOW {name}").scalar_one())

    kept = f"PostgreSQL {setting('server_version').split()[0]}"
    off = [name for name in ("fsync", "full_page_writes") if setting(name) == "off"]
    if not off:
        return Promise(kept)
    return Promise(kept, f"{' and '.join(off)} off on the server: a crash may lose or spoil data", "turn it on there")
