"""SIGTERM and Ctrl-C, obeyed by whatever runs in the event loop until it is told to stop."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def obeying(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at every such signal. A signal that was obeyed is not raised again: the process ends with 0."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
