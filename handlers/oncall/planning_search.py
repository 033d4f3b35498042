"""The soft rules: who of those who can should take a turn, judged together with the blocks that follow.

A block's turns are assigned jointly. Costs are compared rule by rule, the first difference decides: days with two
rotations, neighbouring blocks, sum of squared differences, distance between turns, squared hours of the latest
rotation; then the members' order. Their sum over the block and the LOOKAHEAD blocks after it is made small by a beam
search, so that a decision depends on nothing but what happened before it and what is known of these few blocks:
planning further, or again tomorrow, decides the same.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import islice
from operator import itemgetter

from handlers.oncall.planning_rules import Piece

LOOKAHEAD = 2  # further blocks; measured: more of them without a wider beam make plans worse
BEAM = 12  # plans of the window so far that are followed up
CHOICES = 4  # people tried for each piece; three rotations need three for the best joint choice
PARTIALS = 24  # unfinished choices kept within a block
NEAR = (
    1_000_000  # over the blocks since the last turn: two turns after three blocks beat one after two and one after four
)
NEVER = 1_000  # blocks since the last turn of somebody who has had none

Cost = tuple[int, int, int, int, int]
Choice = tuple[int, ...]
Kinds = Mapping[int, int]
Kind = tuple[int, int, bool]  # what the window holds, the difference, whether they served in the block before
FREE: Cost = (0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Turn:
    """One block: what is settled in it already, and the pieces somebody must be chosen for.

    `served`, `due`: seconds, by person, of what is settled and of what the whole block entitles to.
    `busy`: the days of those who are settled. `late`: seconds of the latest rotation that are settled.
    """

    pieces: tuple[Piece, ...] = ()
    served: Mapping[int, int] = field(default_factory=dict)
    due: Mapping[int, int] = field(default_factory=dict)
    busy: Mapping[int, frozenset[date]] = field(default_factory=dict)
    late: Mapping[int, int] = field(default_factory=dict)

    def only(self, wanted: Sequence[int | None]) -> "Turn":
        """The same block with the choice narrowed to these people; None leaves a piece open."""
        narrowed = [
            piece if who is None else replace(piece, able=frozenset({who}))
            for who, piece in zip(wanted, self.pieces, strict=True)
        ]
        return replace(self, pieces=tuple(narrowed))


@dataclass(frozen=True, slots=True)
class State:
    """Where everybody stands before a block: differences and late hours in seconds, the number of their last block."""

    number: int
    differences: Mapping[int, int]
    last: Mapping[int, int]
    late: Mapping[int, int]

    def since(self, person: int) -> int:
        """Blocks since this person's last turn: 1 means it was the block before."""
        return self.number - self.last[person] if person in self.last else NEVER

    def after(self, turn: Turn, chosen: Choice) -> "State":
        """Where everybody stands once this block is served so."""
        differences, late = dict(self.differences), dict(self.late)
        for person, seconds in turn.due.items():
            differences[person] -= seconds
        for person, seconds in turn.served.items():
            differences[person] += seconds
        for person, seconds in turn.late.items():
            late[person] = late.get(person, 0) + seconds
        for person, piece in zip(chosen, turn.pieces, strict=True):
            differences[person] += piece.seconds
            if piece.late:
                late[person] = late.get(person, 0) + piece.seconds
        last = {**self.last, **dict.fromkeys((*turn.served, *chosen), self.number)}
        return State(self.number + 1, differences, last, late)


@dataclass(frozen=True, slots=True)
class Path:
    """A way to fill the window so far: what it costs, where it leads, and who was chosen, block by block."""

    cost: Cost
    state: State
    choices: tuple[Choice, ...] = ()


def choose(
    state: State, window: Sequence[Turn], planned: Sequence[int | None], tolerance: float
) -> tuple[tuple[Choice, ...], bool]:
    """Who serves the pieces of each block of the window, and whether anybody stays for the sake of staying.

    Only the first block's answer is meant to be used. `planned` are its people by the last plan. They stay, or all
    but one of them do, where nobody serves twice or in neighbouring blocks for it and the squares (in seconds²) are
    no worse than the best by more than `tolerance`. What stays once stays again: the same choice costs the same.
    """
    if not window[0].pieces:
        return ((),), False
    best = _search(state, window)
    stays = [who if who in piece.able else None for who, piece in zip(planned, window[0].pieces, strict=True)]
    but_one = [[*stays[:at], None, *stays[at + 1 :]] for at in range(len(stays))]
    for wanted in (stays, *but_one):
        if any(who is not None for who in wanted):
            path = _search(state, [window[0].only(wanted), *window[1:]])
            if path.cost[:2] == best.cost[:2] and path.cost[2] <= best.cost[2] + tolerance:
                return path.choices, path.choices[0] != best.choices[0]
    return best.choices, False


def _search(state: State, window: Sequence[Turn]) -> Path:
    """The cheapest way found to fill the window."""
    kinds = _kinds(state, window)
    beam = [Path(FREE, state)]
    for turn in window:
        children = sorted(
            (
                (_sum(path.cost, cost), (*path.choices, choice), path.state)
                for path in beam
                for cost, choice in _fill(path.state, turn, kinds)
            ),
            key=itemgetter(0, 1),
        )
        beam = list(islice(_different(children, turn, kinds), BEAM))
    return beam[0]


def cost_of(state: State, turn: Turn, piece: Piece, person: int, beside: Iterable[tuple[int, Piece]] = ()) -> Cost:
    """What choosing this person for this piece costs by each rule, `beside` what is chosen in the block already."""
    days = turn.busy.get(person, frozenset())
    seconds, since = piece.seconds, state.since(person)
    difference = state.differences[person] - turn.due.get(person, 0) + turn.served.get(person, 0)
    for who, other in beside:
        if who == person:
            days = days.union(other.days)
            difference += other.seconds
    return (
        sum(day in days for day in piece.days) if days else 0,
        int(since == 1 and not days),
        (2 * difference + seconds) * seconds,
        NEAR // since,
        (2 * state.late.get(person, 0) + seconds) * seconds if piece.late else 0,
    )


def _fill(state: State, turn: Turn, kinds: Kinds) -> list[tuple[Cost, Choice]]:
    """The cheapest ways to fill one block, those that differ only in who of equals takes part counted once."""
    found: list[tuple[Cost, Choice]] = [(_settled(state, turn), ())]
    equals: dict[int, int] = {}
    numbers: dict[object, int] = {}
    for piece in turn.pieces:
        alone = _shortlist(state, turn, piece, kinds)
        for who in alone:
            standing = (_kind(state, kinds, who), state.since(who), state.late.get(who, 0))
            equals[who] = numbers.setdefault(standing, len(numbers))
        ways = []
        for cost, choice in found:
            for who, own in alone.items():
                extra = own
                if who in choice:
                    extra = cost_of(state, turn, piece, who, zip(choice, turn.pieces, strict=False))
                ways.append((_sum(cost, extra), (*choice, who)))
        ways.sort()
        found = list(islice(_unlike(ways, equals), PARTIALS))
    return found


def _unlike(ways: Iterable[tuple[Cost, Choice]], equals: Mapping[int, int]) -> Iterator[tuple[Cost, Choice]]:
    """Of ways that differ only in who of equals takes part, the first."""
    seen = set()
    for cost, choice in ways:
        likeness = tuple([(equals[who], choice.index(who)) for who in choice])
        if likeness not in seen:
            seen.add(likeness)
            yield cost, choice


def _settled(state: State, turn: Turn) -> Cost:
    """What a block costs before anybody is chosen: neighbours among those who are settled, and all the squares."""
    squares = sum(
        (difference - turn.due.get(person, 0) + turn.served.get(person, 0)) ** 2
        for person, difference in state.differences.items()
    )
    late = sum((seconds + turn.late.get(person, 0)) ** 2 for person, seconds in state.late.items())
    return 0, sum(state.since(person) == 1 for person in turn.served), squares, 0, late


def _shortlist(state: State, turn: Turn, piece: Piece, kinds: Kinds) -> dict[int, Cost]:
    """The cheapest people for a piece, of CHOICES kinds; of each kind as many as the block could need at once."""
    needed = sum(not piece.able.isdisjoint(other.able) for other in turn.pieces)
    taken: Counter[Kind] = Counter()
    shortlist = {}
    for cost, person in sorted((cost_of(state, turn, piece, who), who) for who in piece.able):
        kind = _kind(state, kinds, person)
        if kind not in taken and len(taken) == CHOICES:
            break
        if taken[kind] < needed:
            shortlist[person] = cost
        taken[kind] += 1
    return shortlist


def _kinds(state: State, window: Sequence[Turn]) -> Kinds:
    """A number for what the window holds for each person: those for whom it is the same are equals."""
    numbers: dict[object, int] = {}
    kinds = {}
    for person in state.differences:
        held = tuple(
            (turn.due.get(person), turn.served.get(person), *(person in piece.able for piece in turn.pieces))
            for turn in window
        )
        kinds[person] = numbers.setdefault(held, len(numbers))
    return kinds


def _kind(state: State, kinds: Kinds, person: int) -> Kind:
    return kinds[person], state.differences[person], state.since(person) == 1


def _different(children: Iterable[tuple[Cost, tuple[Choice, ...], State]], turn: Turn, kinds: Kinds) -> Iterator[Path]:
    """Of paths that lead to the same state, up to equals changing places, only the cheapest."""
    seen = set()
    for cost, choices, state in children:
        after = state.after(turn, choices[-1])
        likeness = tuple(sorted([_kind(after, kinds, person) for person in kinds]))
        if likeness not in seen:
            seen.add(likeness)
            yield Path(cost, after, choices)


def _sum(one: Cost, other: Cost) -> Cost:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3], one[4] + other[4]
