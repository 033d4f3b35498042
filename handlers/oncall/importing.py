"""An existing schedule from a CSV file, and back: `date,rotation,email,override,reason`, a line a shift.

`override` is the address of whoever serves instead. Past lines become history; lines from today on are pinned, so that
the next run plans around them. A bad line is a complaint that names it and says what to write.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from db import oncall, people
from db.oncall import Duty
from handlers.addresses import address
from handlers.oncall import words
from handlers.oncall.changing import preview
from handlers.oncall.model import Slot
from handlers.oncall.refusal import BadLines, Refusal
from handlers.oncall.requests import ImportSchedule, Line
from handlers.oncall.settings import load
from handlers.oncall.situation import FAR
from handlers.registry import Context

COLUMNS = ("date", "rotation", "email", "override", "reason")
NEEDED = COLUMNS[:3]
LONGEST = 5_000_000  # characters: decades of shifts


@dataclass(frozen=True, slots=True)
class Read:
    """The good lines of a file, as a request; and what is wrong with the others."""

    request: ImportSchedule
    complaints: tuple[str, ...]


def read(tx: Connection, context: Context, text: str, now: int) -> Read:
    """Whom a line names is looked up here; whether the schedule takes it, `preview` says."""
    today = load(tx, context).today(now)
    known: dict[str, tuple[int, str] | None] = {}
    lines: list[Line] = []
    seen: dict[Slot, int] = {}
    complaints = []
    for number, row in _rows(text):
        try:
            line = _line(tx, number, row, known, today)
        except Refusal as wrong:
            complaints.append(f"line {number}: {wrong}")
            continue
        first = seen.setdefault(Slot(line.date, line.rotation), number)
        if first == number:
            lines.append(line)
        else:
            complaints.append(f"line {number}: {line.rotation} on {line.date} is on line {first} already: keep one.")
    if not lines and not complaints:
        raise Refusal(f"The file has no lines: write {','.join(COLUMNS)} and a line a shift.")
    return Read(ImportSchedule(lines=tuple(lines)), tuple(complaints))


def all_complaints(tx: Connection, context: Context, found: Read, now: int) -> list[str]:
    """What is wrong with any line, in the order of the file: what cannot be read, and what cannot be planned."""
    try:
        preview(tx, context, found.request.model_copy(update={"skip_bad": False}), now)
        more: list[str] = []
    except BadLines as bad:
        more = bad.complaints
    return sorted([*found.complaints, *more], key=_number)


def _number(complaint: str) -> int:
    return int(complaint.removeprefix("line ").partition(":")[0])


def write(tx: Connection, context: Context) -> str:
    """The reverse of `read`: everything there is."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for duty in oncall.between(tx, context.workspace_id, words.EARLIEST, FAR):
        table.writerow(_cells(duty))
    return out.getvalue()


def _cells(duty: Duty) -> list[str]:
    row, over = duty.planned, duty.override
    instead = (over.email, over.reason) if over and over.email else ("", "")
    return [row.date.isoformat(), row.rotation, row.email or "", *instead]


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    if len(text) > LONGEST:
        raise Refusal(f"The file is longer than {LONGEST:,} characters: split it.")
    table = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), skipinitialspace=True, strict=True)
    try:
        table.fieldnames = heads = [(name or "").strip().lower() for name in table.fieldnames or ()]
        if not set(NEEDED) <= set(heads) <= set(COLUMNS) or len(set(heads)) != len(heads):
            raise Refusal(f"Line 1 must be {','.join(COLUMNS)} (override and reason may be left out).")
        for row in table:
            found = {name: (row.get(name) or "").strip() for name in COLUMNS}
            if None in row:
                found["more"] = "columns"
            if any(found.values()):
                yield table.line_num, found
    except csv.Error as error:
        raise Refusal(f"Line {table.reader.line_num} is not CSV: {error}.") from None


def _line(
    tx: Connection, number: int, row: dict[str, str], known: dict[str, tuple[int, str] | None], today: date
) -> Line:
    if "more" in row:
        raise Refusal("It has more columns than the header; put text with a comma between quotes.")
    words.reason(row["reason"])
    day, rotation = words.date_of(row["date"]), words.rotation(row["rotation"])
    planned = _person(tx, row["email"], known, past=day < today) if row["email"] else (None, None, None)
    instead = _person(tx, row["override"], known, past=False) if row["override"] else (None, None, None)
    return Line(
        number=number,
        date=day,
        rotation=rotation,
        person=planned[0],
        email=planned[1],
        name=planned[2],
        override=instead[0],
        reason=row["reason"],
    )


def _person(
    tx: Connection, said: str, known: dict[str, tuple[int, str] | None], *, past: bool
) -> tuple[int | None, str | None, str | None]:
    """Row, address and name. Of the past, somebody we do not know any more may be named by their address."""
    email = address(said)
    if email is None:
        raise Refusal(f"{said[:80]} is not an e-mail address.")
    if email not in known:
        row = people.find(tx, email)
        known[email] = (row["id"], row["name"]) if row else None
    found = known[email]
    if found is None and not past:
        raise Refusal(f"Nobody is known as {email}: put them on the roster first (`rollcall import roster FILE`).")
    return (found[0], email, found[1]) if found else (None, email, email.partition("@")[0])
