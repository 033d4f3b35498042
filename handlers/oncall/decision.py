"""What deciding about a request gives: the situation before and after, and what is to be shown and stored of it."""

from dataclasses import dataclass, field

from db.oncall import Duty
from db.oncall_swaps import Swap
from handlers.oncall.consequence import Consequence
from handlers.oncall.model import Slot
from handlers.oncall.requests import Request
from handlers.oncall.situation import Situation

NEW = 0  # the id of a row that is not there yet


@dataclass(frozen=True, slots=True)
class Decision:
    """`after` is what `store` makes so.

    `asked`, `answered`: of a swap; `history`: past slots to add; `conflicts`: what an administrator must see.
    """

    request: Request
    before: Situation
    after: Situation
    consequence: Consequence
    conflicts: tuple[str, ...] = ()
    asked: Swap | None = None
    answered: tuple[int, str] | None = None
    history: tuple[Duty, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What a request does to a situation. `shown`: what the consequence shows, where that is not yet `after`."""

    after: Situation
    sentence: str
    other: str
    why: dict[Slot, str] = field(default_factory=dict)
    shown: Situation | None = None
    conflicts: tuple[str, ...] = ()
    asked: Swap | None = None
    answered: tuple[int, str] | None = None
    warnings: tuple[str, ...] = ()
    history: tuple[Duty, ...] = ()
