"""What a chaos run changes in the program before it starts: whom it asks for the time, and how long it waits.

Runs in the processes that fork the program, before anything of it is imported; the product knows nothing of it.
"""

import datetime as dt
import importlib
import mmap
import struct
import time
from typing import Any

TrueDatetime = dt.datetime


class _Skew:
    """How many ns the wall clock is off."""

    eight_bytes: mmap.mmap | bytes = bytes(8)


def bend_clock() -> None:
    """The wall clock can be set from here on (`follow`), for whoever is imported later; the monotonic one is true."""
    true_ns = time.time_ns

    def bent_ns() -> int:
        offset: int = struct.unpack("q", _Skew.eight_bytes[:8])[0]
        return true_ns() + offset

    time.time_ns = bent_ns
    time.time = lambda: bent_ns() / 1e9
    # Written in C, datetime does not ask `time`; the library that checks Clerk's signatures asks datetime.
    importlib.import_module("standardwebhooks.webhooks").datetime = BentDatetime  # type: ignore[attr-defined]


class BentDatetime(TrueDatetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return TrueDatetime.fromtimestamp(time.time(), tz)


def set_constants(wanted: dict[str, Any]) -> None:
    """{"module.NAME": value}, in the given order: a module that takes another's constant by name comes after it."""
    for path, value in wanted.items():
        module_name, _, name = path.rpartition(".")
        module = importlib.import_module(module_name)
        assert type(getattr(module, name)) is type(value) or isinstance(value, float), path
        setattr(module, name, value)


def follow(file: str) -> None:
    """The bent clock is off by what the eight bytes of `file` say at the moment."""
    with open(file, "r+b") as opened:  # noqa: PTH123 - a plain file, and as little as possible imported
        _Skew.eight_bytes = mmap.mmap(opened.fileno(), 8)


def apply(clock: str, constants: dict[str, Any]) -> None:
    follow(clock)
    set_constants(constants)
