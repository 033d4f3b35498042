"""The roster: a file of who is in which on-call rotation (S1.3), read into entries or into a list of complaints.

Accepted are CSV (`email,name,rotations`; several rotations separated by ; or spaces) and YAML, as
`address: rotation(s)`, as `rotation: [addresses]`, or as a list of {email, name, rotations}.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from handlers.addresses import address

ROTATIONS = ("AM", "Core", "PM")
FORMATS = ("csv", "yaml")
COLUMNS = ("email", "name", "rotations")

_KNOWN = {name.lower(): name for name in ROTATIONS}


class BadRoster(ValueError):
    """The file cannot be imported; `complaints` names each bad line and what to write instead."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


@dataclass(frozen=True, slots=True)
class Entry:
    """One person of the roster. `name` only where the file gives one."""

    email: str
    rotations: tuple[str, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """One statement of the file, before it is checked; `where` is for complaints."""

    where: str
    email: Any
    rotations: Any
    name: Any = None


def read(text: str, form: str) -> list[Entry]:
    """The entries, one an address, sorted. Raises BadRoster with every complaint; then nothing may be imported."""
    lines = list(_csv_lines(text) if form == "csv" else _yaml_lines(text))
    complaints: list[str] = []
    merged: dict[str, Entry] = {}
    for line in lines:
        entry, wrong = _check(line)
        complaints.extend(wrong)
        if entry is not None:
            merged[entry.email] = _merge(merged.get(entry.email), entry)
    if not lines:
        complaints.append("the file names nobody")
    if complaints:
        raise BadRoster(complaints)
    return sorted(merged.values(), key=lambda entry: entry.email)


def write(entries: Iterable[Entry], form: str) -> str:
    """The reverse of `read`."""
    ordered = sorted(entries, key=lambda entry: entry.email)
    if form == "csv":
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows([entry.email, entry.name or "", ";".join(entry.rotations)] for entry in ordered)
        return out.getvalue()
    people = [
        {"email": entry.email, **({"name": entry.name} if entry.name else {}), "rotations": list(entry.rotations)}
        for entry in ordered
    ]
    return str(yaml.safe_dump(people, allow_unicode=True, sort_keys=False))


def _csv_lines(text: str) -> Iterator[_Line]:
    table = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), skipinitialspace=True)
    columns = {(name or "").strip().lower(): name for name in table.fieldnames or ()}
    if "email" not in columns or "rotations" not in columns:
        raise BadRoster(["line 1: the header must be email,name,rotations (name may be left out)"])
    for row in table:
        found = {name: row.get(column) for name, column in columns.items()}
        if not any(found.values()):
            continue
        yield _Line(f"line {table.line_num}", found["email"], found["rotations"], found.get("name"))


def _yaml_lines(text: str) -> Iterator[_Line]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise BadRoster(
            [f"{where}this is not YAML: {getattr(error, 'problem', None) or 'it cannot be read'}"]
        ) from None
    except RecursionError:
        raise BadRoster(["this is nested too deep"]) from None
    if isinstance(document, list):
        yield from (_item(number, item) for number, item in enumerate(document, 1))
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from _pair(key, value)
    elif document is not None:
        raise BadRoster(["write `address: rotation`, `rotation: [addresses]`, or a list of email and rotations"])


def _item(number: int, item: Any) -> _Line:
    if not isinstance(item, dict):
        return _Line(f"entry {number}", None, None)
    return _Line(f"entry {number}", item.get("email"), item.get("rotations"), item.get("name"))


def _pair(key: Any, value: Any) -> Iterator[_Line]:
    if "@" in str(key):
        yield _Line(f"{key}", key, value)
        return
    for email in value if isinstance(value, list) else [value]:
        yield _Line(f"{key}", email, [key])


def _check(line: _Line) -> tuple[Entry | None, list[str]]:
    email = address(line.email) if isinstance(line.email, str) else None
    wrong = [] if email else [f"{line.where}: {_shown(line.email)} is not an e-mail address"]
    names = _names(line.rotations)
    if not names:
        wrong.append(f"{line.where}: no rotation is given; write {', '.join(ROTATIONS)}")
    unknown = [name for name in names if name.lower() not in _KNOWN]
    wrong.extend(f"{line.where}: {_shown(name)} is no rotation; write {', '.join(ROTATIONS)}" for name in unknown)
    if line.name is not None and not isinstance(line.name, str):
        wrong.append(f"{line.where}: the name must be text")
    if wrong or email is None:
        return None, wrong
    return Entry(email, _sorted(_KNOWN[name.lower()] for name in names), (line.name or "").strip() or None), []


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.replace(";", " ").replace(",", " ").split()
    if isinstance(value, list):
        return [str(one).strip() for one in value]
    return []


def _merge(one: Entry | None, other: Entry) -> Entry:
    """The same address twice: in both rotations."""
    if one is None:
        return other
    return Entry(one.email, _sorted({*one.rotations, *other.rotations}), one.name or other.name)


def _sorted(rotations: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(rotations), key=ROTATIONS.index))


def _shown(value: Any) -> str:
    return repr(str(value)[:80]) if value is not None else "nothing"
