"""Every benchmark in turn, and at the end which bars were missed. About nine minutes, on a machine that is quiet."""

import subprocess
import sys

from targets import HERE

RUNS = (
    ("webhook intake beside its references", "intake.py", "--rounds", "3"),
    ("a day's mixture", "intake.py", "--stream", "mixed", "--rounds", "1", "--only", "empty,rollcall,rollcall pg"),
    ("500 webhooks a second", "offered.py", "--rounds", "3"),
    ("as the directory grows", "growth.py"),
    ("delivery", "relay.py"),
    ("start and memory", "startup.py"),
)


def main() -> int:
    failed = []
    for title, script, *options in RUNS:
        print(f"\n== {title} ({script})", flush=True)
        if subprocess.run([sys.executable, str(HERE / script), *options], check=False).returncode:  # noqa: S603  # ours
            failed.append(title)
    print("\nPASS every bar" if not failed else f"\nFAIL {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
