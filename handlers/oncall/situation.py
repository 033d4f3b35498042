"""Everything a decision about the schedule depends on, read once, frozen, and able to say whether it has changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import sha256

from sqlalchemy import Connection

from db import oncall, oncall_holidays, oncall_members, oncall_swaps, people
from db.oncall import Duty, Served
from db.oncall_holidays import COUNTRY, WORKED, Holiday
from db.oncall_members import Absence, Candidate, Period
from db.oncall_swaps import Swap
from handlers.oncall import settings
from handlers.oncall.model import Member, Rules, Shift, Slot, TimeOff
from handlers.oncall.settings import OnCallSettings
from handlers.registry import Context

ONE_DAY = timedelta(days=1)
FAR = date(9999, 12, 31)
EVERY_POOL = frozenset[str]().union(*settings.POOLS.values())


@dataclass(frozen=True, slots=True)
class Situation:
    """A workspace's schedule and all it rests on. `now`: ms UTC; `duties`: of today and later, in order, and
    yesterday's that end today and are not over: they can still be given to somebody else.

    `past`: the slots before, as fairness counts them. `people`: who is in a rotation now, by row.
    """

    now: int
    today: date
    settings: OnCallSettings
    people: Mapping[int, Candidate]
    periods: tuple[Period, ...]
    past: tuple[Served, ...]
    duties: Mapping[Slot, Duty]
    absences: tuple[Absence, ...]
    holidays: Mapping[date, Holiday]
    swaps: tuple[Swap, ...]
    admins: frozenset[int] = frozenset()

    @property
    def digest(self) -> str:
        """Equal while nothing has changed that a decision could depend on; time alone changes nothing."""
        slots = [(slot, replace(duty.planned, reason={}), duty.override) for slot, duty in self.duties.items()]
        return sha256(repr((replace(self, now=0, duties={}, admins=frozenset()), slots)).encode()).hexdigest()

    @property
    def rules(self) -> Rules:
        return self.settings.rules

    def begun(self, duty: Duty) -> bool:
        return duty.planned.starts_at <= self.now

    def over(self, duty: Duty) -> bool:
        return duty.planned.ends_at <= self.now

    def active(self, person: int) -> bool:
        return person in self.people and self.people[person].status == "active"

    def away(self, person: int, day: date) -> Absence | None:
        """The time off that keeps somebody from serving on that day."""
        return next((a for a in self.absences if a.user_id == person and a.first <= day <= a.last), None)

    def able(self, person: int | None, day: date) -> bool:
        return person is not None and self.active(person) and self.away(person, day) is None

    def name(self, person: int | None) -> str:
        """How to call somebody who is, was or is not there."""
        if person is None:
            return "nobody"
        if person in self.people:
            return self.people[person].name
        known = (d.final_name for d in self.duties.values() if d.final_id == person)
        return next((name for name in known if name), f"former member {person}")

    def free_days(self) -> dict[date, str]:
        """The holidays on which nobody is on call, by name."""
        return {day: one.name for day, one in self.holidays.items() if one.source != WORKED}

    def members(self) -> list[Member]:
        """As the planner takes them: leavers too, for what others were entitled to depends on them."""
        found: dict[int, Member] = {}
        for period in self.periods:
            earlier = found.get(period.user_id)
            found[period.user_id] = Member(
                period.user_id,
                self.name(period.user_id),
                frozenset(period.pools),
                earlier.active_from if earlier else period.since,
                period.until,
            )
        serving = {duty.final_id for duty in self.duties.values() if duty.final_id is not None}
        for person in sorted(serving - found.keys()):
            # Gone before a day was over, so no period is left; still the planner has to call them by their name.
            found[person] = Member(person, self.name(person), EVERY_POOL, active_until=self.today - ONE_DAY)
        return list(found.values())

    def time_off(self) -> list[TimeOff]:
        """Absences, and the time between two memberships, in which nothing is earned either."""
        found = [TimeOff(absence.user_id, absence.first, absence.last) for absence in self.absences]
        last: dict[int, Period] = {}
        for period in self.periods:
            before = last.get(period.user_id)
            if before and before.until and before.until + ONE_DAY < period.since:
                found.append(TimeOff(period.user_id, before.until + ONE_DAY, period.since - ONE_DAY))
            last[period.user_id] = period
        return found

    def shifts(self) -> list[Shift]:
        """Past and planned, as the planner takes it. A pin holds while its person can serve; what began stands."""
        past = [Shift(Slot(s.date, s.rotation), s.user_id, s.override_id, s.pinned) for s in self.past]
        return past + [
            Shift(
                slot,
                duty.planned.user_id,
                duty.override.user_id if duty.override else None,
                self.begun(duty) or (duty.planned.pinned and self.able(duty.final_id, slot.date)),
            )
            for slot, duty in self.duties.items()
        ]

    def with_duties(self, changed: Mapping[Slot, Duty | None]) -> "Situation":
        """The same with these slots as given; None takes one out."""
        merged = {**self.duties, **changed}
        kept = {slot: duty for slot, duty in sorted(merged.items()) if duty is not None}
        return replace(self, duties=kept)


def gather(tx: Connection, context: Context, now: int) -> Situation:
    """Read it all, in one transaction."""
    workspace_id = context.workspace_id
    chosen = settings.load(tx, context)
    today = chosen.today(now)
    duties = [d for d in oncall.between(tx, workspace_id, today - ONE_DAY, FAR) if _open(d, today, now)]
    running = {(d.planned.date, d.planned.rotation) for d in duties if d.planned.date < today}
    return Situation(
        now=now,
        today=today,
        settings=chosen,
        people=oncall_members.now(tx, workspace_id),
        periods=tuple(oncall_members.periods(tx, workspace_id)),
        past=tuple(
            s for s in oncall.served(tx, workspace_id) if s.date < today and (s.date, s.rotation) not in running
        ),
        duties=_by_slot(duties),
        absences=tuple(oncall_members.absences(tx, workspace_id)),
        holidays={one.date: one for one in oncall_holidays.all_from(tx, workspace_id, today)},
        swaps=tuple(oncall_swaps.open_(tx, workspace_id)),
        admins=people.admin_ids(tx),
    )


def _open(duty: Duty, today: date, now: int) -> bool:
    return duty.planned.date >= today or duty.planned.ends_at > now


def _by_slot(duties: Iterable[Duty]) -> dict[Slot, Duty]:
    return dict(sorted((Slot(duty.planned.date, duty.planned.rotation), duty) for duty in duties))


def remembered(s: Situation) -> Situation:
    """With the periods that follow from who is in which rotation today: begun, ended, or of other pools."""
    now = {id_: tuple(sorted(p.rotations)) for id_, p in s.people.items() if p.status == "active"}
    last = {period.user_id: period for period in s.periods}
    kept = [period for period in s.periods if period != last[period.user_id]]
    yesterday = s.today - ONE_DAY
    for id_, period in last.items():
        pools = now.get(id_)
        if pools is None:
            ended = period if period.until else replace(period, until=yesterday)
            kept += [ended] if ended.since <= (ended.until or FAR) else []
        elif period.until is None or period.until >= yesterday:
            kept.append(replace(period, until=None, pools=pools))
        else:
            kept += [period, Period(id_, s.today, None, pools)]
    kept += [Period(id_, s.today, None, pools) for id_, pools in now.items() if id_ not in last]
    return replace(s, periods=tuple(sorted(kept, key=lambda period: (period.user_id, period.since))))


def with_country(s: Situation, last: date) -> Situation:
    """With what the library says of the country's holidays up to `last`; the workspace's own word stands."""
    own = {day: one for day, one in s.holidays.items() if one.source != COUNTRY or day > last}
    theirs = {
        day: Holiday(day, name, COUNTRY)
        for day, name in s.settings.country_holidays(s.today, last).items()
        if day not in own
    }
    return replace(s, holidays=dict(sorted((theirs | own).items())))
