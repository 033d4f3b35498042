"""Latency at a steady 500 webhooks a second, offered whether they are answered or not, beside an empty handler's."""

import sys
from argparse import Namespace

from intake import measured, options_of
from measuring import Rounds, middle, table

RATE, TIMES_EMPTY = 500.0, 10.0


def report(rounds: Rounds, _options: Namespace) -> bool:
    print(*table(rounds, ("empty",)), sep="\n")
    empty, ours = middle(rounds["empty"], "p99"), middle(rounds["rollcall"], "p99")
    served = min(sample.per_second for sample in rounds["rollcall"]) / RATE
    verdicts = [
        (ours <= TIMES_EMPTY * empty, f"p99 {ours:.1f} ms, {ours / empty:.1f} times the empty handler's; at most 10"),
        (served > 0.98, f"{served:.1%} of the offered rate served"),
    ]
    for met, sentence in verdicts:
        print("PASS" if met else "FAIL", sentence)
    return all(met for met, _ in verdicts)


if __name__ == "__main__":
    wanted = ["--rate", str(RATE), "--seconds", "8", "--warmup", "1", "--only", "empty,rollcall"]
    sys.exit(measured(options_of([*wanted, *sys.argv[1:]]), report))
