"""Measures webhook intake beside its references in one run: on a noisy machine only ratios mean anything.

Each round starts every server afresh (own process, port, folder, database), loads it with `load.py` in a
process of its own, stops it, and counts its rows: what was acknowledged must be stored. Exits 1 when a
bar is missed.
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from load import MAX_SIGNED_AHEAD
from targets import HERE, BenchError, Target, cpu_seconds, get, log_tail, reference, rollcall, running

TIMES_PLAIN, P99_MS = 8.0, 150.0  # the bars
SERVERS = ("plain", "empty", "rollcall", "signature")


@dataclass(frozen=True)
class Sample:
    """One server in one round."""

    server: str
    per_second: float
    p50: float  # ms
    p99: float  # ms
    worst: float  # ms
    acknowledged: int
    refused: int
    unsent: int  # only with --rate: due, and no connection was free
    statuses: dict[str, int]
    cpu: float | None  # µs of the server an event; None where the system does not say
    generator_cpu: float  # share of one core
    delivered: int  # Notion pages made meanwhile
    complaints: list[str]


Rounds = dict[str, list[Sample]]


def measure(target: Target, options: argparse.Namespace, notion_port: int | None = None) -> Sample:
    """One server, one round. Raises BenchError."""
    with running(target) as (port, pid):
        cpu, pages = cpu_seconds(pid), notion_pages(notion_port)
        result = load(target, port, options)
        spent, delivered = cpu_seconds(pid), notion_pages(notion_port) - pages
    acknowledged = result["acknowledged"]
    if result["refused"]:
        print(f"{target.name} answered {result['statuses']}", *log_tail(target), sep="\n  | ", file=sys.stderr)
    return Sample(
        server=target.name,
        **{name: result[name] for name in ("per_second", "p50", "p99", "worst", "generator_cpu")},
        acknowledged=acknowledged,
        refused=result["refused"],
        unsent=result["unsent"],
        statuses=result["statuses"],
        cpu=1e6 * (spent - cpu) / max(acknowledged, 1) if spent is not None and cpu is not None else None,
        delivered=delivered,
        complaints=missing_rows(target.database, result, delivered) if target.database else [],
    )


def load(target: Target, port: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run the generator in a process of its own, so that it shares no interpreter lock with anyone."""
    ahead = min(MAX_SIGNED_AHEAD, int(target.ahead * (options.warmup + options.seconds)))
    command = [sys.executable, str(HERE / "load.py"), "--port", str(port), "--sign-ahead", str(ahead)]
    for name in ("connections", "warmup", "seconds", "rate"):
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    limit = options.seconds + 120
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)  # noqa: S603  # ours
    if done.returncode:
        raise BenchError(f"the generator failed on {target.name}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def notion_pages(port: int | None) -> int:
    return int(json.loads(get(port, "/created")[1])["pages"]) if port else 0


def missing_rows(database: Path, result: dict[str, Any], delivered: int) -> list[str]:
    """Acknowledged means stored, once, with everything that belongs to it. Returns what is not so."""
    with closing(sqlite3.connect(database)) as connection:
        inbox, users, data, marks = (
            int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  # our own names
            for table in ("webhook_events", "users", "user_data", "sync_actions")
        )
    acknowledged, refused = result["acknowledged"], result["refused"]
    rules = [
        (inbox >= acknowledged, f"{inbox} in the inbox"),
        # What was refused may be stored all the same, when only its answer was lost.
        (acknowledged <= users <= acknowledged + refused, f"{users} users"),
        (data >= 2 * acknowledged, f"{data} user_data"),
        (marks + delivered >= acknowledged, f"{marks} marks and {delivered} delivered"),
    ]
    return [f"{acknowledged} acknowledged, {found}" for right, found in rules if not right]


def fsync_ms(folder: Path) -> float:
    """What one durable write costs here; the figures cannot be read without it."""
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fsync(file)
            times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def middle(samples: list[Sample], name: str) -> float:
    return statistics.median(getattr(sample, name) or 0.0 for sample in samples)


def table(rounds: Rounds) -> list[str]:
    rates = {name: middle(samples, "per_second") for name, samples in rounds.items()}
    lines = [["server", "acked/s", "min-max", "p50 ms", "p99 ms", "non-2xx", "x plain", "x empty", "cpu µs/event"]]
    for name, samples in rounds.items():
        each = [sample.per_second for sample in samples]
        ratios = [f"{rates[name] / rates[to]:.2f}" if rates.get(to) else "-" for to in ("plain", "empty")]
        lines.append(
            [
                name,
                f"{rates[name]:,.0f}",
                f"{min(each):,.0f}-{max(each):,.0f}",
                f"{middle(samples, 'p50'):.1f}",
                f"{middle(samples, 'p99'):.1f}",
                str(sum(sample.refused for sample in samples)),
                *ratios,
                f"{middle(samples, 'cpu'):,.0f}" if samples[0].cpu is not None else "-",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        line[0].ljust(widths[0])
        + "".join(f"  {cell.rjust(width)}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    ]


def bars(rounds: Rounds) -> list[tuple[bool, str]]:
    ours, plain = rounds["rollcall"], rounds["plain"]
    times = middle(ours, "per_second") / max(middle(plain, "per_second"), 1e-9)
    each = [a.per_second / max(b.per_second, 1e-9) for a, b in zip(ours, plain, strict=True)]
    refused = sum(sample.refused for sample in ours)
    p99, worst = middle(ours, "p99"), max(sample.p99 for sample in ours)
    return [
        (
            times >= TIMES_PLAIN,
            f"{times:.1f} times plain ({min(each):.1f}-{max(each):.1f}), at least {TIMES_PLAIN:.0f}",
        ),
        (refused == 0, f"{refused} answers other than 2xx, none allowed"),
        (p99 < P99_MS, f"p99 {p99:.0f} ms, under {P99_MS:.0f} (worst round {worst:.0f})"),
    ]


def run(options: argparse.Namespace, folder: Path) -> Rounds:
    rounds: Rounds = {name: [] for name in options.only}
    for number in range(options.rounds):
        # There and back again, so that a machine growing slower meanwhile is unfair to nobody.
        for name in options.only if number % 2 == 0 else options.only[::-1]:
            place = folder / f"{number}-{name}"
            if name == "rollcall":
                with running(reference("notion", folder / f"{number}-notion")) as (port, _):
                    rounds[name].append(measure(rollcall(place, port), options, port))
            else:
                rounds[name].append(measure(reference(name, place), options))
    return rounds


def report(rounds: Rounds, options: argparse.Namespace) -> bool:
    """Print everything; True when nothing is missing and every bar that was measured is met."""
    print(*table(rounds), sep="\n")
    if ours := rounds.get("rollcall"):
        print(f"rollcall delivered {sum(s.delivered for s in ours)} pages to the Notion stub meanwhile")
    samples = [sample for each in rounds.values() for sample in each]
    print(f"generator: at most {max(sample.generator_cpu for sample in samples):.0%} of a core")
    if unsent := sum(sample.unsent for sample in samples):
        print(f"{unsent} offered requests found no free connection in time: the rate is above what was served")
    lost = [(False, f"{sample.server}: {complaint}") for sample in samples for complaint in sample.complaints]
    verdicts = lost or [(True, "every acknowledged event is stored, with all its rows")]
    if not options.no_bars and not options.rate and {"plain", "rollcall"} <= set(rounds):
        verdicts += bars(rounds)
    for met, sentence in verdicts:
        print("PASS" if met else "FAIL", sentence)
    return all(met for met, _ in verdicts)


def servers(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(SERVERS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: known are {', '.join(SERVERS)}")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured, each server and round")
    parser.add_argument("--warmup", type=float, default=0.5, help="seconds before; stored, not measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, help="offer this many requests/s, whether they are answered or not")
    parser.add_argument("--only", type=servers, default=list(SERVERS), help="these servers, in this order")
    parser.add_argument("--no-bars", action="store_true", help="print the figures, judge only the rows")
    parser.add_argument("--folder", type=Path, help="for the databases; durable means little in a RAM disk")
    parser.add_argument("--json", type=Path, help="save every sample")
    options = parser.parse_args()
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
    return 0 if report(rounds, options) else 1


if __name__ == "__main__":
    sys.exit(main())
