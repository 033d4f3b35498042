"""What one chaos run did and found: a table for the reader, and the assertion that nothing was harmed."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

LONG = os.environ.get("ROLLCALL_CHAOS") == "long"
# `make test` runs the short form on SQLite alone, `make chaos` the long one on both databases.
HERE = [] if LONG else [pytest.mark.sqlite_only("the short form: make chaos runs it on PostgreSQL too")]
SEED = int(os.environ.get("ROLLCALL_SEED", "23"))


@dataclass
class Report:
    """`faults` counts what was injected, `bites` what it did; each of `must_bite` has to have happened."""

    name: str
    seed: int = SEED
    faults: Counter[str] = field(default_factory=Counter)
    bites: Counter[str] = field(default_factory=Counter)
    figures: dict[str, Any] = field(default_factory=dict)
    harm: dict[str, list[Any]] = field(default_factory=dict)
    must_bite: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        rows = [("seed", self.seed)]
        rows += [(f"fault: {name}", count) for name, count in sorted(self.faults.items())]
        rows += [(f"bite: {name}", count) for name, count in sorted(self.bites.items())]
        rows += list(self.figures.items())
        rows += [(name, len(found)) for name, found in self.harm.items()]
        return [f"chaos: {self.name}", *(f"  {name:<46} {value}" for name, value in rows)]

    def verdict(self) -> None:
        """Fails when anything was harmed, and when a fault did nothing: such a run proves nothing."""
        happened = self.faults + self.bites
        idle = {name: happened[name] for name, least in self.must_bite.items() if happened[name] < least}
        assert not idle, f"these faults hit nothing, so the run proves nothing: {idle}, wanted {self.must_bite}"
        assert self.faults, "nothing was injected"
        assert not any(self.harm.values()), {name: found[:5] for name, found in self.harm.items() if found}


def told(stats: Mapping[str, list[Any]]) -> Iterator[str]:
    """The tables of all runs, passed or failed, on whichever of pytest's processes."""
    for test in (test for tests in stats.values() for test in tests if getattr(test, "when", "") == "teardown"):
        for name, lines in test.user_properties:
            if name == "chaos":
                yield from lines
