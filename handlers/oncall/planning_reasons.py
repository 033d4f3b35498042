"""Why a pick was made, in words and numbers to store beside it: who could, at what cost, and who could not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from handlers.oncall.fairness import in_hours
from handlers.oncall.model import HOUR_SECONDS, Candidate, Exclusion, Reason, Rotation
from handlers.oncall.planning_rules import People
from handlers.oncall.planning_search import NEVER, Choice, Cost, State, Turn, cost_of

# What speaks for somebody, rule by rule, in the order of the costs.
ADVANTAGES = (
    "has no other rotation on those days",
    "has no turn in the block before or after",
    "lowers the sum of squared differences most",
    "has waited longest since the last turn",
    "has the fewest hours of the latest rotation",
)


@dataclass(frozen=True, slots=True)
class Outlook:
    """A block's decision: where everybody stood, the block, who was chosen in it and in those looked at, and who
    was planned before and stays for the sake of staying (nobody: empty).
    """

    state: State
    turn: Turn
    choices: Sequence[Choice]
    blocks: Sequence[date]
    stays: Sequence[int | None]


def reason(people: People, outlook: Outlook, index: int, *, cut: bool) -> Reason:
    """Why piece `index` of a block went to whom it went. `cut`: it is a part of its turn."""
    state, turn, chosen = outlook.state, outlook.turn, outlook.choices[0]
    piece = turn.pieces[index]
    beside = [pair for at, pair in enumerate(zip(chosen, turn.pieces, strict=True)) if at != index]
    ranked = sorted((cost_of(state, turn, piece, who, beside), who) for who in piece.able)
    why = _why(people, outlook, index, ranked)
    if cut:
        why += f". Nobody can serve the whole turn, so it is cut: this part is {piece.days[0]}..{piece.days[-1]}"
    candidates = tuple(_candidate(people, state, who, cost) for cost, who in ranked)
    return Reason(candidates, _excluded(people, piece.rotation, piece.days), chosen[index], why)


def _why(people: People, outlook: Outlook, index: int, ranked: Sequence[tuple[Cost, int]]) -> str:
    chosen = outlook.choices[0][index]
    name = people.by_id[chosen].name
    place = [who for _, who in ranked].index(chosen)
    if len(ranked) == 1:
        return f"{name} is the only one who can"
    if place == 0:
        return f"{name} {_advantage(ranked[0][0], ranked[1][0])}; next would be {people.by_id[ranked[1][1]].name}"
    before = ", ".join(_passed(people, outlook, who) for _, who in ranked[:place])
    if outlook.stays and outlook.stays[index] == chosen:
        return f"{name} was planned already, and another choice is too little better to move anybody; before: {before}"
    return f"{name} makes this block and the next ones fairest together; before {name} came {before}"


def nobody(people: People, rotation: Rotation, day: date) -> Reason:
    """Why a slot stays unfilled."""
    return Reason((), _excluded(people, rotation, (day,)), None, f"nobody can serve {rotation.name} on {day}")


def _advantage(best: Cost, next_best: Cost) -> str:
    for advantage, one, other in zip(ADVANTAGES, best, next_best, strict=True):
        if one != other:
            return advantage
    return "is equal to others by every rule and comes first in the list of members"


def _passed(people: People, outlook: Outlook, person: int) -> str:
    name = people.by_id[person].name
    for choice, first in zip(outlook.choices[1:], outlook.blocks[1:], strict=True):
        if person in choice:
            return f"{name} (wanted from {first})"
    return name


def _candidate(people: People, state: State, person: int, cost: Cost) -> Candidate:
    since = state.since(person)
    return Candidate(
        person,
        people.by_id[person].name,
        difference=in_hours(state.differences[person]),
        doubles=cost[0],
        adjacent=bool(cost[1]),
        squares=round(cost[2] / HOUR_SECONDS**2, 2),
        since=None if since == NEVER else since,
        late=in_hours(state.late.get(person, 0)),
    )


def _excluded(people: People, rotation: Rotation, days: Sequence[date]) -> tuple[Exclusion, ...]:
    whys = ((member, people.exclusion(member.id, rotation, days)) for member in people.members)
    return tuple(Exclusion(member.id, member.name, why) for member, why in whys if why)
