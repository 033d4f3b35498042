"""Measures webhook intake beside its references in one run: on a noisy machine only ratios mean anything.

Each round starts every server afresh (own process, port, folder, database), loads it with `load.py` in a
process of its own, stops it, and counts its rows: what was acknowledged must be stored. Exits 1 when a
bar is missed.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from databases import postgres_database
from measuring import Rounds, Sample, fsync_ms, measure, middle, table
from targets import BenchError, reference, rollcall, running

PROCESSES = 2  # of Rollcall, where it may use both cores
SERVERS = ("plain", "empty", "rollcall", f"rollcall x{PROCESSES}", "signature", "plain pg", "rollcall pg")

# Bars: what is measured, against what, and how many times it must be. The first is the spine's.
TIMES = (
    (f"rollcall x{PROCESSES}", "plain", 8.0),
    (f"rollcall x{PROCESSES}", "plain", 15.0),
    (f"rollcall x{PROCESSES}", "empty", 0.22),
    ("rollcall pg", "plain pg", 2.5),
)
P99_MS = 150.0


def bars(rounds: Rounds) -> list[tuple[bool, str]]:
    verdicts = []
    for name, to, least in TIMES:
        if name in rounds and to in rounds:
            times = middle(rounds[name], "per_second") / max(middle(rounds[to], "per_second"), 1e-9)
            each = [a.per_second / max(b.per_second, 1e-9) for a, b in zip(rounds[name], rounds[to], strict=True)]
            said = f"{name}: {times:.2f} times {to} ({min(each):.2f}-{max(each):.2f}), at least {least:g}"
            verdicts.append((times >= least, said))
    for name, samples in rounds.items():
        if name.startswith("rollcall"):
            refused, p99 = sum(sample.refused for sample in samples), middle(samples, "p99")
            verdicts.append((refused == 0, f"{name}: {refused} answers other than 2xx, none allowed"))
            verdicts.append((p99 < P99_MS, f"{name}: p99 {p99:.0f} ms, under {P99_MS:.0f}"))
    return verdicts


def run(options: argparse.Namespace, folder: Path) -> Rounds:
    rounds: Rounds = {name: [] for name in options.only}
    for number in range(options.rounds):
        # There and back again, so that a machine growing slower meanwhile is unfair to nobody.
        for name in options.only if number % 2 == 0 else options.only[::-1]:
            place = folder / f"{number}-{name.replace(' ', '-')}"
            rounds[name].append(one(name, place, options))
    return rounds


def one(name: str, place: Path, options: argparse.Namespace) -> Sample:
    """One server, one round; a stand-in of Notion beside Rollcall."""
    with postgres_database(name.endswith("pg")) as database:
        if not name.startswith("rollcall"):
            return measure(reference(name.removesuffix(" pg"), place, database), options)
        with running(reference("notion", place.with_name(f"{place.name}-notion"))) as (port, _):
            processes = PROCESSES if name.endswith(f"x{PROCESSES}") else 1
            return measure(rollcall(place, port, database, processes), options, port)


def report(rounds: Rounds, options: argparse.Namespace) -> bool:
    """Print everything; True when nothing is missing and every bar that was measured is met."""
    print(*table(rounds, ("plain", "empty", "plain pg")), sep="\n")
    samples = [sample for each in rounds.values() for sample in each]
    for name, each in rounds.items():
        if name.startswith("rollcall"):
            rest, full = each[0].memory
            made = sum(sample.delivered for sample in each)
            print(f"{name}: {rest:.0f} MB at rest, {full:.0f} MB after the load; {made} pages delivered meanwhile")
    print(f"generator: at most {max(sample.generator_cpu for sample in samples):.0%} of a core")
    if unsent := sum(sample.unsent for sample in samples):
        print(f"{unsent} offered requests found no free connection in time: the rate is above what was served")
    lost = [(False, f"{sample.server}: {complaint}") for sample in samples for complaint in sample.complaints]
    verdicts = lost or [(True, "every acknowledged event is stored, with all its rows")]
    if not options.no_bars and not options.rate and options.stream == "created":
        verdicts += bars(rounds)
    for met, sentence in verdicts:
        print("PASS" if met else "FAIL", sentence)
    return all(met for met, _ in verdicts)


def servers(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(SERVERS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: known are {', '.join(SERVERS)}")
    return names


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured, each server and round")
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds before; stored, not measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, help="offer this many requests/s, whether they are answered or not")
    parser.add_argument("--stream", choices=("created", "mixed"), default="created", help="what is sent")
    parser.add_argument("--only", type=servers, default=list(SERVERS), help="these servers, in this order")
    parser.add_argument("--no-bars", action="store_true", help="print the figures, judge only the rows")
    parser.add_argument("--folder", type=Path, help="for the databases; durable means little in a RAM disk")
    parser.add_argument("--json", type=Path, help="save every sample")
    return parser.parse_args(arguments)


def measured(options: argparse.Namespace, judge: Callable[[Rounds, argparse.Namespace], bool]) -> int:
    """Run, then judge; the exit code."""
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="rollcall-bench-") as name:
        print(
            f"{options.connections} keep-alive connections, {options.rounds} rounds of {options.seconds:g} s "
            f"after {options.warmup:g} s of warm-up, medians; fsync here {fsync_ms(Path(name)):.2f} ms",
            flush=True,
        )
        try:
            rounds = run(options, Path(name))
        except BenchError as error:
            print(error, file=sys.stderr)
            return 1
    if options.json:
        saved = {name: [asdict(sample) for sample in samples] for name, samples in rounds.items()}
        options.json.write_text(json.dumps(saved, indent=2) + "\n")
    return 0 if judge(rounds, options) else 1


if __name__ == "__main__":
    sys.exit(measured(options_of(), report))
