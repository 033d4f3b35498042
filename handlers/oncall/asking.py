"""Questions about the schedule: who is on call, who is next, my shifts, the week, why, and how even it is.

All take `tx` first and change nothing. Times are instants (ms, UTC); show them in the reader's zone with hours.local.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection

from db import oncall, oncall_swaps, people
from db.oncall import Duty
from db.oncall_holidays import Holiday
from db.oncall_members import Absence
from db.oncall_swaps import Swap
from handlers.oncall import settings
from handlers.oncall.explaining import people_in, read
from handlers.oncall.model import Reason, Slot
from handlers.oncall.refusal import Refusal
from handlers.oncall.situation import ONE_DAY, gather
from handlers.oncall.slots import why_no_shift
from handlers.oncall.standing import differences
from handlers.registry import Context

MOST = 100


@dataclass(frozen=True, slots=True)
class Now:
    """`on`: the shifts under way; `next`: those that begin next, all at the same instant."""

    on: tuple[Duty, ...]
    next: tuple[Duty, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a slot is whose it is. `reason` None: it was imported."""

    duty: Duty
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Balance:
    """Hours served less hours entitled to, up to yesterday. `hours_planned`: still to serve, from today on."""

    person: int
    name: str
    difference: float
    hours_served: float
    hours_planned: float


def who(tx: Connection, context: Context, instant: int) -> Now:
    """Who is on call at an instant (ms), overrides honoured, and who comes next."""
    day = settings.load(tx, context).today(instant)
    on = oncall.at(tx, context.workspace_id, instant, day - ONE_DAY, day + ONE_DAY)
    soon = oncall.after(tx, context.workspace_id, instant, day - ONE_DAY, len(settings.NAMES))
    following = [duty for duty in soon if duty.planned.starts_at == soon[0].planned.starts_at]
    return Now(tuple(on), tuple(following))


def next_change(tx: Connection, context: Context, instant: int) -> int | None:
    """The next instant (ms) at which somebody else may be on call: a shift ends or begins. None: nothing is planned."""
    now = who(tx, context, instant)
    found = [duty.planned.ends_at for duty in now.on] + [duty.planned.starts_at for duty in now.next]
    return min(found, default=None)


def week(tx: Connection, context: Context, day: date) -> list[Duty]:
    """Every shift of the week (Monday to Sunday) that a day lies in."""
    monday = day - timedelta(days=day.weekday())
    return oncall.between(tx, context.workspace_id, monday, monday + timedelta(days=6))


def shifts_of(tx: Connection, context: Context, person: int, now: int, most: int = MOST) -> list[Duty]:
    """Somebody's shifts that are not over, the soonest first, overrides honoured."""
    today = settings.load(tx, context).today(now)
    found = oncall.of_person(tx, context.workspace_id, person, today - ONE_DAY, most)
    return [duty for duty in found if duty.planned.ends_at > now]


def shift(tx: Connection, context: Context, slot: Slot) -> Duty | None:
    """One slot as it stands."""
    return oncall.one(tx, context.workspace_id, slot.date, slot.rotation)


def why(tx: Connection, context: Context, day: date, rotation: str | None, now: int) -> list[Explained]:
    """The reason of one slot, or of a day's. Refusal where there is none: a holiday, a weekend, not planned yet."""
    duties = oncall.between(tx, context.workspace_id, day, day)
    found = [duty for duty in duties if rotation in (None, duty.planned.rotation)]
    if not found:
        s = gather(tx, context, now)
        if day < s.today:
            raise Refusal(f"Nothing was planned for {day}: `/oncall week` and `rollcall oncall show` show what is.")
        raise Refusal(why_no_shift(s, Slot(day, rotation or settings.NAMES[0])))
    known = people.load(tx, set().union(*(people_in(duty.planned.reason) for duty in found)))

    def name(person: int) -> str:
        return known[person].name if person in known else f"former member {person}"

    return [Explained(duty, read(duty.planned.reason, name)) for duty in found]


def balance(tx: Connection, context: Context, now: int) -> list[Balance]:
    """Everybody's running difference, the most served first."""
    s = gather(tx, context, now)
    past = [one for one in s.shifts() if one.slot.date < s.today]
    stands = differences(s, past)
    hours = {rotation.name: rotation.seconds / 3600 for rotation in s.rules.rotations}
    served: dict[int | None, float] = {}
    planned: dict[int | None, float] = {}
    for one in s.shifts():
        into = served if one.slot.date < s.today else planned
        into[one.server] = into.get(one.server, 0.0) + hours.get(one.slot.rotation, 0.0)
    found = [
        Balance(id_, s.name(id_), stands.get(id_, 0.0), served.get(id_, 0.0), planned.get(id_, 0.0))
        for id_ in sorted(s.people)
        if s.active(id_)
    ]
    return sorted(found, key=lambda one: (-one.difference, one.person))


def open_swaps(tx: Connection, context: Context, person: int | None = None) -> Sequence[Swap]:
    """Swaps nobody has answered yet: all, or those somebody asked for or is asked about."""
    return oncall_swaps.open_(tx, context.workspace_id, person)


def absences(tx: Connection, context: Context, now: int) -> list[tuple[Absence, str]]:
    """Time off that is not over, with whose it is."""
    s = gather(tx, context, now)
    return [(one, s.name(one.user_id)) for one in s.absences if one.last >= s.today]


def holidays(tx: Connection, context: Context, now: int) -> list[Holiday]:
    """From today on; those that are worked among them."""
    return list(gather(tx, context, now).holidays.values())


def name_of(tx: Connection, person: int) -> str:
    found = people.get(tx, person)
    return found.name if found else f"former member {person}"
