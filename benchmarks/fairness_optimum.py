"""The smallest running gap any schedule could have: an integer model of the hard rules, solved by CP-SAT.

It knows the whole time beforehand and no soft rule, so nothing that plans can have a smaller gap.
"""

from dataclasses import dataclass

from fairness_year import DEFAULT_RULES, Organisation, pieces_of
from ortools.sat.python import cp_model

from handlers.oncall.fairness import entitlement
from handlers.oncall.model import HOUR_SECONDS, Shift, Slot

WIDEST = 2_000 * HOUR_SECONDS


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best schedule found, the proved lower bound on the gap in hours, and whether they meet."""

    shifts: tuple[Shift, ...]
    bound: float
    proved: bool
    seconds: float


def optimum(company: Organisation, limit: float) -> Optimum:
    """Look for the smallest gap for at most `limit` seconds."""
    model, people = cp_model.CpModel(), company.people()
    gap = model.new_int_var(0, WIDEST, "gap")
    picks = []
    differences: dict[int, cp_model.LinearExprT] = dict.fromkeys(people.by_id, 0)
    for monday in company.mondays():
        pieces = pieces_of(people, monday)
        names = [rotation.name for rotation in DEFAULT_RULES.rotations]
        due = entitlement([piece for piece in pieces if piece.rotation.name == name] for name in names)
        chosen = [{person: model.new_bool_var("") for person in sorted(piece.able)} for piece in pieces]
        for piece, options in zip(pieces, chosen, strict=True):
            model.add_exactly_one(options.values())
            picks.append((piece, options))
        low, high = (model.new_int_var(-WIDEST, WIDEST, "") for _ in range(2))
        model.add(gap >= high - low)
        for member in people.members:
            served = [
                piece.seconds * options[member.id]
                for piece, options in zip(pieces, chosen, strict=True)
                if member.id in options
            ]
            after = model.new_int_var(-WIDEST, WIDEST, "")
            model.add(after == differences[member.id] - due.get(member.id, 0) + sum(served))
            differences[member.id] = after
            if member.active(monday):
                model.add(high >= after)
                model.add(low <= after)
    model.minimize(gap)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds, solver.parameters.num_workers = limit, 2
    status = solver.solve(model)
    if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        raise SystemExit(f"CP-SAT found no schedule in {limit} s: {solver.status_name(status)}")
    shifts = tuple(
        Shift(Slot(day, piece.rotation.name), next(person for person, pick in options.items() if solver.value(pick)))
        for piece, options in picks
        for day in piece.days
    )
    bound = solver.best_objective_bound / HOUR_SECONDS
    return Optimum(shifts, bound, status == cp_model.OPTIMAL, solver.wall_time)
