"""Which blocks and slots a plan is about, and how far past its horizon it has to look."""

from collections.abc import Collection, Iterator
from datetime import date, time, timedelta

from handlers.oncall.model import BlockLength, Rules, Slot
from handlers.oncall.planning_rules import block_of
from handlers.oncall.planning_search import LOOKAHEAD

WEEK = timedelta(days=7)
DAY = timedelta(days=1)


class Calendar:
    """The blocks from the first shift known to LOOKAHEAD blocks past the horizon, and the slots to be planned.

    The blocks past the horizon are only looked at: so a plan does not change where it is merely made longer.
    `until`: the last day of the block that contains the horizon.
    """

    def __init__(
        self, known: Collection[date], holidays: Collection[date], today: date, horizon: date, rules: Rules
    ) -> None:
        self.today, self.rules = today, rules
        self._holidays = frozenset(holidays)
        self._starts = {rotation.name: rotation.start for rotation in rules.rotations}
        weekly = rules.block is BlockLength.WEEK
        self.last = block_of(max(horizon, today), rules)
        self.until = self.last + WEEK - DAY if weekly else self.last
        end = self.until + WEEK * (LOOKAHEAD + 1)
        days = [day for day in _days(min([today, *known]), end) if weekly or day in known or self._works(day)]
        blocks = sorted({block_of(day, rules) for day in days})
        beyond = [first for first in blocks if first > self.last]
        self.blocks = [first for first in blocks if first <= self.last] + beyond[:LOOKAHEAD]
        self.slots = frozenset(
            Slot(day, rotation.name) for day in _days(today, end) if self._works(day) for rotation in rules.rotations
        )

    def _works(self, day: date) -> bool:
        return day.weekday() in self.rules.working_days and day not in self._holidays

    def order(self, slot: Slot) -> tuple[date, time, str]:
        """In the order of time."""
        return slot.date, self._starts.get(slot.rotation, time.max), slot.rotation


def _days(first: date, last: date) -> Iterator[date]:
    return (date.fromordinal(number) for number in range(first.toordinal(), last.toordinal() + 1))
