"""Who is on call: decided from what is known, the same way every time, with the reason of every pick."""

from collections.abc import Collection, Iterable
from datetime import date

from handlers.oncall.model import DEFAULT_RULES, Member, Plan, Rules, Shift, TimeOff


def plan(
    members: Collection[Member],
    history: Iterable[Shift],
    time_off: Iterable[TimeOff],
    holidays: Collection[date],
    pinned: Iterable[Shift],
    today: date,
    horizon: date,
    rules: Rules = DEFAULT_RULES,
) -> Plan:
    """Plan every working day from `today` to the end of the block that contains `horizon`.

    `history`: every shift stored, past and future, with its override: what was served, and what was planned before.
    `pinned`: shifts that must stand, beside those pinned in `history` (for example a swap that is only considered).
    The order of no argument matters. An unknown person in `history` keeps what they served and gets nothing new.
    """
    raise NotImplementedError
