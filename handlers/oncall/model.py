"""What the on-call planner is told and what it answers: plain frozen values, no database, no clock."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, time
from enum import StrEnum
from typing import Any, NamedTuple

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600


class Slot(NamedTuple):
    """One rotation on one day: what exactly one person serves."""

    date: date
    rotation: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """A daily stretch of local time, served by members of `pools`. An `end` not after `start` is tomorrow's."""

    name: str
    start: time
    end: time
    pools: frozenset[str]

    @property
    def seconds(self) -> int:
        return (_seconds(self.end) - _seconds(self.start)) % DAY_SECONDS or DAY_SECONDS

    @property
    def start_seconds(self) -> int:
        return _seconds(self.start)


# S2.1. Who is in the roster for Core alone may serve Core alone.
DEFAULT_ROTATIONS = (
    Rotation("AM", time(9), time(12), frozenset({"AM"})),
    Rotation("Core", time(12), time(18), frozenset({"AM", "PM", "Core"})),
    Rotation("PM", time(18), time(21), frozenset({"PM"})),
)


class BlockLength(StrEnum):
    """How long a turn is: the working days of an ISO week, or one day."""

    WEEK = "week"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Rules:
    """A workspace's rules. `working_days`: 0 is Monday. `freeze_days`: what begins before today plus these stays.

    `tolerance`: what was planned after that stays as well, as long as nothing else makes the sum of squared
    differences, over the block and the two after it, smaller by more than this; in h².
    """

    rotations: tuple[Rotation, ...] = DEFAULT_ROTATIONS
    working_days: frozenset[int] = frozenset(range(5))
    block: BlockLength = BlockLength.WEEK
    freeze_days: int = 14
    tolerance: float = 1_000.0


DEFAULT_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is, was or will be on call. Both ends of the active time are inclusive; None: without end.

    Leavers stay among the members as long as the history names them: what others were entitled to depends on it.
    """

    id: int
    name: str
    pools: frozenset[str]
    active_from: date | None = None
    active_until: date | None = None

    def active(self, day: date) -> bool:
        return (self.active_from or day) <= day <= (self.active_until or day)


@dataclass(frozen=True, slots=True)
class TimeOff:
    """`person` cannot serve from `first` to `last`, both inclusive."""

    person: int
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Shift:
    """Who was planned for a slot (None: nobody could), and who serves instead, if somebody does."""

    slot: Slot
    person: int | None
    override: int | None = None
    pinned: bool = False

    @property
    def server(self) -> int | None:
        """Who is on call in the end: the hours are theirs."""
        return self.person if self.override is None else self.override


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who could have served. `difference`: hours served less hours entitled to, before this block.

    The rest is what choosing them meant by the soft rules, in their order: days on which they already have another
    rotation, whether they serve in a neighbouring block, the change of the sum of squared differences in h², blocks
    since their last turn (None: never yet), hours of the latest rotation so far.
    """

    person: int
    name: str
    difference: float
    doubles: int
    adjacent: bool
    squares: float
    since: int | None
    late: float


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Somebody who could not serve, and why: "on leave 2026-12-24..2026-12-31", "not in the pool AM"."""

    person: int
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a slot went to `chosen` (None: to nobody). Every member is either among `candidates` or among `excluded`."""

    candidates: tuple[Candidate, ...]
    excluded: tuple[Exclusion, ...]
    chosen: int | None
    why: str

    def as_json(self) -> dict[str, Any]:
        """What is stored beside the shift, and shown by `/oncall why`."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Reason":
        return cls(
            tuple(Candidate(**candidate) for candidate in stored["candidates"]),
            tuple(Exclusion(**exclusion) for exclusion in stored["excluded"]),
            stored["chosen"],
            stored["why"],
        )


@dataclass(frozen=True, slots=True)
class Move:
    """A slot that somebody else serves than was planned before. `frozen`: it lies inside the freeze window."""

    slot: Slot
    before: int | None
    after: int | None
    why: str
    frozen: bool


@dataclass(frozen=True, slots=True)
class Conflict:
    """A slot left as people decided (a pin, an override) although it cannot work; an administrator must look."""

    slot: Slot
    person: int
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Every slot from today to `until` (inclusive; the end of a block), in order, and how it came about.

    A stored future slot that is not among `assignments` is to be removed: its day is no working day any more. An
    override that is stored and missing here is void: who took over cannot.
    `reasons`: of the slots decided in this run; a kept slot keeps the reason stored with it.
    `unfilled`: slots nobody can serve; their shifts have no person.
    """

    until: date
    assignments: tuple[Shift, ...]
    reasons: Mapping[Slot, Reason]
    moved: tuple[Move, ...]
    unfilled: tuple[Slot, ...]
    conflicts: tuple[Conflict, ...] = ()


def _seconds(clock: time) -> int:
    return clock.hour * HOUR_SECONDS + clock.minute * 60 + clock.second
