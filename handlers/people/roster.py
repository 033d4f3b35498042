"""The roster: a file of who is in which on-call rotation (S1.3), read into entries or into a list of complaints.

Accepted are CSV (`email,name,rotations`; several rotations separated by ; or spaces) and YAML, as
`address: rotation(s)`, as `rotation: [addresses]`, or as a list of {email, name, rotations}.
"""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from handlers.addresses import address

ROTATIONS = ("AM", "Core", "PM")
FORMATS = ("csv", "yaml")
COLUMNS = ("email", "name", "rotations")
LONGEST = 1_000_000  # characters: some 20,000 people, and a few seconds of YAML

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
    """One statement of the file, before it is checked; `where` is for complaints, `wrong` is one."""

    where: str
    email: Any = None
    rotations: Any = None
    name: Any = None
    wrong: str | None = None


def read(text: str, form: str) -> list[Entry]:
    """The entries, one an address, sorted. Raises BadRoster with every complaint; then nothing may be imported."""
    entries, complaints = sift(text, form)
    if complaints:
        raise BadRoster(complaints)
    return entries


def sift(text: str, form: str) -> tuple[list[Entry], list[str]]:
    """The entries of the good lines, and what is wrong with the others."""
    if len(text) > LONGEST:
        return [], [f"the file is longer than {LONGEST:,} characters: split it"]
    complaints: list[str] = []
    merged: dict[str, Entry] = {}
    try:
        for line in _csv_lines(text) if form == "csv" else _yaml_lines(text):
            entry, wrong = _check(line)
            complaints.extend(wrong)
            if entry is not None:
                merged[entry.email] = _merge(merged.get(entry.email), entry)
    except BadRoster as bad:
        complaints.extend(bad.complaints)
    if not merged and not complaints:
        complaints.append("the file names nobody")
    return sorted(merged.values(), key=lambda entry: entry.email), complaints


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
    table = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), skipinitialspace=True, strict=True)
    try:
        table.fieldnames = heads = [(name or "").strip().lower() for name in table.fieldnames or ()]
        if not (heads.count("email") == heads.count("rotations") == 1 and heads.count("name") <= 1):
            raise BadRoster(["line 1: the header must be email,name,rotations (name may be left out)"])
        for row in table:
            where, found = f"line {table.line_num}", {name: row.get(name) for name in COLUMNS}
            if None in row:
                yield _Line(where, wrong="more columns than the header has; separate rotations by ; or spaces")
            elif any((value or "").strip() for value in found.values()):
                yield _Line(where, **found)
    except csv.Error as error:
        raise BadRoster([f"line {table.reader.line_num}: this is not CSV: {error}"]) from None


class _Loader(yaml.SafeLoader):
    """Aliases are refused: a few lines of them can stand for billions of entries."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise BadRoster([f"line {line}: aliases (*) are not taken: write it out"])
        return super().compose_node(parent, index)


def _yaml_lines(text: str) -> Iterator[_Line]:
    """Read from the nodes, not from the values: these know their lines, and a key that comes twice is there twice."""
    try:
        document = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise BadRoster(
            [f"{where}this is not YAML: {getattr(error, 'problem', None) or 'it cannot be read'}"]
        ) from None
    except RecursionError:
        raise BadRoster(["this is nested too deep"]) from None
    if isinstance(document, yaml.SequenceNode):
        yield from map(_item, document.value)
    elif isinstance(document, yaml.MappingNode):
        for key, value in document.value:
            yield from _pair(key, value)
    elif document is not None and _plain(document) is not None:
        raise BadRoster(["write `address: rotation`, `rotation: [addresses]`, or a list of email and rotations"])


def _item(node: yaml.Node) -> _Line:
    if not isinstance(node, yaml.MappingNode):
        return _Line(_where(node), wrong="write email, name and rotations")
    said = {str(_plain(key)): _plain(value) for key, value in node.value}
    return _Line(_where(node), **{name: said.get(name) for name in COLUMNS})


def _pair(key: yaml.Node, value: yaml.Node) -> Iterator[_Line]:
    name, said = _plain(key), _plain(value)
    if "@" in str(name):
        yield _Line(_where(key), name, said)
        return
    entries = value.value if isinstance(value, yaml.SequenceNode) else [value]
    yield from (_Line(_where(entry), _plain(entry), [name]) for entry in entries)


def _plain(node: yaml.Node) -> Any:
    """Text as it is written (`No` may be a name), None, a list of texts; `{}` for what has no place here."""
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else node.value
    if isinstance(node, yaml.SequenceNode):
        return [one.value if isinstance(one, yaml.ScalarNode) else {} for one in node.value]
    return {}


def _where(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def _check(line: _Line) -> tuple[Entry | None, list[str]]:
    if line.wrong:
        return None, [f"{line.where}: {line.wrong}"]
    email = address(line.email) if isinstance(line.email, str) and _readable(line.email) else None
    wrong = [] if email else [f"{line.where}: {_shown(line.email)} is not an e-mail address"]
    names = _names(line.rotations)
    if not names:
        wrong.append(f"{line.where}: no rotation is given; write {', '.join(ROTATIONS)}")
    unknown = [name for name in names if name.lower() not in _KNOWN]
    wrong.extend(f"{line.where}: {_shown(name)} is no rotation; write {', '.join(ROTATIONS)}" for name in unknown)
    if not isinstance(line.name, str | None) or not _readable(line.name or ""):
        wrong.append(f"{line.where}: the name must be text, without control characters")
    if wrong or email is None:
        return None, wrong
    name = " ".join((line.name or "").split()) or None
    return Entry(email, _sorted(_KNOWN[rotation.lower()] for rotation in names), name), []


def _readable(text: str) -> bool:
    """No NUL, no escape, no half of a surrogate pair (YAML can write each of them)."""
    return not any(unicodedata.category(char) in ("Cc", "Cs") for char in text.strip())


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
