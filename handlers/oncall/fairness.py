"""Hours served beside hours entitled to: the running difference that the planner keeps small (whole seconds inside)."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date

from handlers.oncall.model import DEFAULT_RULES, Member, Rules, Shift, TimeOff


def balances(
    members: Collection[Member],
    shifts: Iterable[Shift],
    time_off: Iterable[TimeOff],
    rules: Rules = DEFAULT_RULES,
    until: date | None = None,
) -> Mapping[int, float]:
    """Hours served less hours entitled to, of each member, over all `shifts` (up to `until`, inclusive)."""
    raise NotImplementedError
