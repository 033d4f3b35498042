"""One server under load: what it acknowledged, how fast, at what cost, and whether every row is there."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load import MAX_SIGNED_AHEAD
from sqlalchemy import create_engine, text
from targets import HERE, BenchError, Target, cpu_seconds, get, log_tail, memory_mb, running


@dataclass(frozen=True)
class Sample:
    """One server in one round."""

    server: str
    per_second: float
    p50: float  # ms
    p99: float  # ms
    p999: float  # ms
    worst: float  # ms
    acknowledged: int
    refused: int
    unsent: int  # only with --rate: due, and no connection was free
    statuses: dict[str, int]
    cpu: float | None  # µs of the server an event; None where the system does not say
    generator_cpu: float  # share of one core
    memory: tuple[float, float]  # MB before and after; 0 where the system does not say
    delivered: int  # Notion pages made meanwhile
    complaints: list[str]


Rounds = dict[str, list[Sample]]


def measure(target: Target, options: argparse.Namespace, notion_port: int | None = None) -> Sample:
    """One server, one round. Raises BenchError."""
    with running(target) as (port, pid):
        cpu, pages, rest = cpu_seconds(pid), notion_pages(notion_port), memory_mb(pid)
        result = load(target, port, options)
        spent, delivered, full = cpu_seconds(pid), notion_pages(notion_port) - pages, memory_mb(pid)
    acknowledged = result["acknowledged"]
    if result["refused"]:
        print(f"{target.name} answered {result['statuses']}", *log_tail(target), sep="\n  | ", file=sys.stderr)
    return Sample(
        server=target.name,
        **{name: result[name] for name in ("per_second", "p50", "p99", "p999", "worst", "generator_cpu")},
        acknowledged=acknowledged,
        refused=result["refused"],
        unsent=result["unsent"],
        statuses=result["statuses"],
        cpu=1e6 * (spent - cpu) / max(acknowledged, 1) if spent is not None and cpu is not None else None,
        memory=(rest or 0.0, full or 0.0),
        delivered=delivered,
        complaints=missing_rows(target.database, result, options.stream) if target.database else [],
    )


def load(target: Target, port: int, options: argparse.Namespace) -> dict[str, Any]:
    """Run the generator in a process of its own, so that it shares no interpreter lock with anyone."""
    ahead = min(MAX_SIGNED_AHEAD, int(target.ahead * (options.warmup + options.seconds)))
    command = [sys.executable, str(HERE / "load.py"), "--port", str(port), "--sign-ahead", str(ahead)]
    for name in ("connections", "warmup", "seconds", "rate", "stream"):
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


def missing_rows(url: str, result: dict[str, Any], stream: str) -> list[str]:
    """Acknowledged means stored, once, with everything that belongs to it. Returns what is not so."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.connect() as connection:
        inbox, failed, users, data, marks = (
            int(connection.execute(text(f"SELECT count(*) FROM {rows}")).scalar_one())  # noqa: S608  # our own names
            for rows in (
                "webhook_events",
                "webhook_events WHERE status = 'failed'",
                "users",
                "user_data",
                "sync_actions",
            )
        )
    engine.dispose()
    acknowledged, refused = result["acknowledged"], result["refused"]
    rules = [(failed == 0, f"{failed} failed")]
    if stream == "created":
        rules += [
            (inbox >= acknowledged, f"{inbox} in the inbox"),
            # What was refused may be stored all the same, when only its answer was lost.
            (acknowledged <= users <= acknowledged + refused, f"{users} users"),
            (data >= 2 * acknowledged, f"{data} user_data"),
            (marks >= acknowledged, f"{marks} marks"),
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


def table(rounds: Rounds, ratios_to: tuple[str, ...]) -> list[str]:
    """A line a server, medians of its rounds."""
    rates = {name: middle(samples, "per_second") for name, samples in rounds.items()}
    heads = ["server", "acked/s", "min-max", "p50 ms", "p99 ms", "p99.9", "non-2xx"]
    lines = [[*heads, *(f"x {to}" for to in ratios_to), "cpu µs/event"]]
    for name, samples in rounds.items():
        each = [sample.per_second for sample in samples]
        ratios = [f"{rates[name] / rates[to]:.2f}" if rates.get(to) else "-" for to in ratios_to]
        lines.append(
            [
                name,
                f"{rates[name]:,.0f}",
                f"{min(each):,.0f}-{max(each):,.0f}",
                f"{middle(samples, 'p50'):.1f}",
                f"{middle(samples, 'p99'):.1f}",
                f"{middle(samples, 'p999'):.1f}",
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
