"""Starts the real `rollcall` over and over, a fresh process a line of stdin, under conditions a test chose.

The two seconds of imports happen once; each process is a fork of what they left. Conditions come in two
environment variables the program itself never sees:
  CHAOS_CLOCK      a file of eight bytes, mapped: how far the process's wall clock is off, ns; may change at any time
  CHAOS_CONSTANTS  JSON of {"module.NAME": value}: waits made shorter, before anybody has read them
"""

import importlib
import json
import mmap
import os
import struct
import sys
import time


def bend_clock(file: str) -> None:
    """What the operating system says is off by as much as the file says; the monotonic clock is true."""
    with open(file, "r+b") as opened:  # noqa: PTH123 - nothing may be imported yet that looks at the time
        skew = mmap.mmap(opened.fileno(), 8)
    true_ns = time.time_ns

    def bent_ns() -> int:
        offset: int = struct.unpack("q", skew[:8])[0]
        return true_ns() + offset

    time.time_ns = bent_ns
    time.time = lambda: bent_ns() / 1e9


def set_constants(wanted: dict[str, object]) -> None:
    """In the given order: a module that takes a constant of another by name must come after it."""
    for path, value in wanted.items():
        module_name, _, name = path.rpartition(".")
        module = importlib.import_module(module_name)
        if type(getattr(module, name)) is tuple:
            assert isinstance(value, list)
            value = tuple(value)
        setattr(module, name, value)


def main() -> None:
    if file := os.environ.pop("CHAOS_CLOCK", ""):
        bend_clock(file)
    set_constants(json.loads(os.environ.pop("CHAOS_CONSTANTS", "{}")))
    cli = importlib.import_module("service.cli")
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)  # noqa: T201 - this is how the test learns whom to kill
            sys.exit(cli.main())
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201


main()
