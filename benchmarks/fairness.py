"""Is the on-call planner fair? It beside simple rules, and beside the exact optimum. Exit 1: a bar is missed.

Every figure is computed here from the shifts alone, by the same functions for every planner; nothing the planner
says about itself is used, except the shifts it plans.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import mean

from fairness_optimum import Optimum, optimum
from fairness_year import (
    DAY,
    ROTATIONS,
    START,
    WEEK,
    Organisation,
    Year,
    least_recent,
    list_order,
    live,
    live_simply,
    organisation,
)
from rich.console import Console
from rich.table import Table

from handlers.oncall.fairness import running, running_gap
from handlers.oncall.model import HOUR_SECONDS, Shift
from handlers.oncall.planning import plan

EQUAL = 0.01  # hours
PLANNERS: Mapping[str, Callable[[Organisation, int], Year]] = {
    "Rollcall": live,
    "least recently served": partial(live_simply, rule=least_recent),
    "list order": partial(live_simply, rule=list_order),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. `limit`: seconds for CP-SAT, a schedule."""

    seeds: int = 20
    weeks: int = 52
    exact_weeks: int = 26
    limit: float = 60
    sizes: tuple[tuple[int, int, float], ...] = ((6, 10, 2), (80, 120, 20))  # AM, PM, seconds allowed


SHORT = Scale(seeds=2, weeks=16, exact_weeks=8, limit=10, sizes=((6, 10, 2),))


@dataclass(frozen=True, slots=True)
class Figures:
    """One year under one planner. Hours, weeks, days; `newcomer`: hours served and hours entitled to."""

    gap: float
    rms: float
    between: int
    adjacent: int
    on_leave: int
    newcomer: tuple[float, float]
    unfilled: int
    churn: int
    repaired: int
    broken: int


def figures(name: str, weeks: int, seed: int) -> Figures:
    company = organisation(seed, weeks, joiner=weeks // 2)
    year = PLANNERS[name](company, seed)
    shifts, time_off = list(year.shifts.values()), company.time_off()
    *_, (_, last) = running(company.members, shifts, time_off)
    turns = list(_distances(shifts))
    newcomer = company.members[-1].id
    served = sum(ROTATIONS[shift.slot.rotation].seconds for shift in shifts if shift.server == newcomer)
    return Figures(
        gap=running_gap(company.members, shifts, time_off),
        rms=(mean(seconds**2 for seconds in last.values())) ** 0.5 / HOUR_SECONDS,
        between=min(turns),
        adjacent=turns.count(1),
        on_leave=year.on_leave,
        newcomer=(served / HOUR_SECONDS, (served - last[newcomer]) / HOUR_SECONDS),
        unfilled=year.unfilled,
        churn=year.churn,
        repaired=year.repaired,
        broken=year.broken,
    )


def _distances(shifts: Iterable[Shift]) -> Iterable[int]:
    """Weeks from each planned turn of a person to the next."""
    weeks: defaultdict[int | None, set[int]] = defaultdict(set)
    for shift in shifts:
        weeks[shift.person].add((shift.slot.date - START).days // 7)
    for served in weeks.values():
        ordered = sorted(served)
        yield from (later - earlier for earlier, later in pairwise(ordered))


def exact(weeks: int, limit: float, seed: int, *, leave: bool) -> tuple[float, float, Optimum]:
    """The running gap of our plan, and of the best schedule that CP-SAT finds in `limit` seconds."""
    company = organisation(seed, weeks, leave=leave)
    time_off = company.time_off()
    ours = plan(company.members, (), time_off, (), (), START, START + weeks * WEEK - DAY).assignments
    best = optimum(company, limit)
    return running_gap(company.members, ours, time_off), running_gap(company.members, best.shifts, time_off), best


def seconds_to_plan(am: int, pm: int) -> tuple[float, float]:
    """CPU and wall seconds for a year with everybody's leave. One thread; on a busy machine the wall shows more."""
    company = organisation(1, 52, am, pm)
    wall, cpu = time.perf_counter(), time.process_time()
    plan(company.members, (), company.time_off(), (), (), START, START + 52 * WEEK - DAY)
    return time.process_time() - cpu, time.perf_counter() - wall


@dataclass(slots=True)
class Verdict:
    """The bars, as they are met or missed."""

    console: Console
    missed: int = 0

    def bar(self, met: bool, text: str) -> None:
        self.missed += not met
        self.console.print(f"[bold {'green' if met else 'red'}]{'PASS' if met else 'FAIL'}[/]  {text}", highlight=False)


def show_years(console: Console, scale: Scale) -> Mapping[str, Sequence[Figures]]:
    years: dict[str, Sequence[Figures]] = {}
    with ProcessPoolExecutor(2) as pool:
        for name in PLANNERS:
            years[name] = list(pool.map(partial(figures, name, scale.weeks), range(scale.seeds)))
    table = Table(
        title=f"{scale.seeds} years of {scale.weeks} weeks: 16 people, a newcomer, leave, sickness, 8 % overrides"
    )
    table.add_column("")
    for name in years:
        table.add_column(name, justify="right")
    rows: list[tuple[str, Callable[[Sequence[Figures]], str]]] = [
        (
            "running gap, h: mean (worst)",
            lambda all_: f"{mean(f.gap for f in all_):.1f} ({max(f.gap for f in all_):.1f})",
        ),
        (
            "RMS at the end, h: mean (worst)",
            lambda all_: f"{mean(f.rms for f in all_):.1f} ({max(f.rms for f in all_):.1f})",
        ),
        ("least weeks between two turns", lambda all_: str(min(f.between for f in all_))),
        ("turns in adjacent weeks, a year", lambda all_: f"{mean(f.adjacent for f in all_):.1f}"),
        ("days on leave assigned", lambda all_: str(sum(f.on_leave for f in all_))),
        ("days unfilled", lambda all_: str(sum(f.unfilled for f in all_))),
        (
            "newcomer's load ratio (least..most)",
            lambda all_: f"{newcomers(all_):.2f} ({min(map(ratio, all_)):.2f}..{max(map(ratio, all_)):.2f})",
        ),
        ("shifts changed outside the freeze window, a year", lambda all_: _changes(all_, "churn")),
        ("... inside: it had become impossible, a year", lambda all_: _changes(all_, "repaired")),
        ("... inside: without need", lambda all_: _changes(all_, "broken")),
    ]
    for title, show in rows:
        table.add_row(title, *(show(years[name]) for name in years))
    console.print(table)
    return years


def _changes(all_: Sequence[Figures], what: str) -> str:
    """The simple rules plan each week once, and are told of everything that happens in it."""
    return f"{mean(getattr(one, what) for one in all_):.1f}" if any(one.churn for one in all_) else "-"


def ratio(one: Figures) -> float:
    return one.newcomer[0] / one.newcomer[1]


def newcomers(all_: Sequence[Figures]) -> float:
    """Of all years together: one turn more or less is a tenth and more of what a newcomer serves in half a year."""
    return sum(one.newcomer[0] for one in all_) / sum(one.newcomer[1] for one in all_)


def show_exact(console: Console, scale: Scale, verdict: Verdict) -> None:
    table = Table(
        title=f"Running gap over {scale.exact_weeks} weeks, h, beside CP-SAT ({scale.limit:.0f} s, 2 workers)"
    )
    for head in ("", "Rollcall", "CP-SAT", "its bound", "proved", "s", "ratio"):
        table.add_column(head, justify="right")
    ratios = []
    ours, best, found = exact(scale.exact_weeks, scale.limit, 0, leave=False)
    for seed in range(-1, scale.seeds):
        mine, its, how = (ours, best, found) if seed < 0 else exact(scale.exact_weeks, scale.limit, seed, leave=True)
        title = "no leave" if seed < 0 else f"leave, seed {seed}"
        ratios += [mine / its] if seed >= 0 else []
        numbers = (
            f"{mine:.2f} {its:.2f} {how.bound:.2f} {'yes' if how.proved else 'no'} {how.seconds:.1f} {mine / its:.3f}"
        )
        table.add_row(title, *numbers.split())
    console.print(table)
    proved = found.proved and abs(ours - best) < EQUAL
    verdict.bar(proved, f"without leave and overrides, the gap is the proved optimum: {ours:.2f} h, {best:.2f} h")
    worst = max(ratios)
    verdict.bar(
        worst <= 1.2, f"with leave, the gap is at most 1.2 x the best found: worst {worst:.3f}, mean {mean(ratios):.3f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="two seeds and fewer weeks, for a test")
    scale = SHORT if parser.parse_args().short else Scale()
    console = Console(width=120)
    verdict = Verdict(console)
    timings = [(am + pm, seconds_to_plan(am, pm), allowed) for am, pm, allowed in scale.sizes]
    years = show_years(console, scale)["Rollcall"]
    show_exact(console, scale, verdict)
    on_leave, broken = sum(one.on_leave for one in years), sum(one.broken for one in years)
    verdict.bar(on_leave == 0, f"days on leave assigned: {on_leave}")
    if scale != SHORT:
        verdict.bar(
            0.9 <= newcomers(years) <= 1.1, f"newcomers' load ratio, all years together: {newcomers(years):.3f}"
        )
    verdict.bar(broken == 0, f"changes inside the freeze window that nothing had made necessary: {broken}")
    for people, (cpu, wall), allowed in timings:
        verdict.bar(
            cpu < allowed, f"52 weeks for {people} people: {cpu:.2f} s of CPU ({wall:.2f} s wall), allowed {allowed} s"
        )
    return 1 if verdict.missed else 0


if __name__ == "__main__":
    sys.exit(main())
