"""Calls of one transaction run side by side: what all of them ask next goes to the server in one round trip.

Each call runs in a greenlet until it asks something; when none can go on, everything asked is exchanged, and all go
on. They are written as if alone, and nothing runs at the same time: a call is interrupted only where it waits for an
answer. What may come between then is what two transactions side by side could do to one another as well, and it is
kept out by the same locks (db/locks.py). Within one transaction the server grants them to everybody: so here a call
that wants what another holds waits until that one has come to its end. Whatever goes wrong undoes all.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from greenlet import GreenletExit, getcurrent, greenlet


class Crosswise(RuntimeError):
    """These calls cannot be brought to an end side by side; alone each can."""


class Abreast:
    """The calls of one transaction. `exchange` runs what they have sent and asked."""

    def __init__(self, exchange: Callable[[], None]) -> None:
        self._exchange = exchange
        self._hub = getcurrent()
        self._started: list[greenlet] = []
        self._ready: deque[greenlet] = deque()
        self._asking: deque[greenlet] = deque()
        self._barred: list[greenlet] = []  # they want what another holds
        self._holders: dict[int, greenlet] = {}
        self._spoiled: BaseException | None = None
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whoever is not through is not going to be."""
        self._over = True
        for one in self._started:
            if not one.dead:
                with suppress(Exception):  # what it raises on its way out is not what went wrong
                    one.throw()

    def run(self, calls: Iterable[Callable[[], None]]) -> None:
        """Bring all of them to their end. What one raises is raised, and then nothing came of any."""
        self._started = [greenlet(call) for call in calls]
        self._ready.extend(self._started)
        while self._ready:
            self._go_on(self._ready.popleft())
            if not self._ready and self._asking:
                self._exchange()
                self._ready, self._asking = self._asking, self._ready
        if self._barred:
            raise Crosswise("each of them waits for what another holds")
        if self._spoiled:
            raise Crosswise("what one of them undid cannot be undone in company") from self._spoiled

    def _go_on(self, one: greenlet) -> None:
        one.switch()
        if one.dead:
            self._holders = {key: holder for key, holder in self._holders.items() if holder is not one}
            self._ready.extend(self._barred)
            self._barred.clear()

    # --- in a call ---

    def ask(self) -> None:
        """Go on when everything that was sent so far has run."""
        self._wait_among(self._asking)

    def hold(self, keys: Collection[int]) -> None:
        """Go on when nobody else here holds any of these, and hold them until the call ends."""
        me = getcurrent()
        while any(self._holders.get(key, me) is not me for key in keys):
            self._wait_among(self._barred)
        self._holders.update(dict.fromkeys(keys, me))

    def hold_all(self) -> None:
        """What nobody can who has company."""
        raise Crosswise("one of them works on everybody")

    @contextmanager
    def undone_together(self) -> Iterator[None]:
        """In place of a savepoint: if the block raises, all of them are undone, and run alone."""
        try:
            yield
        except Exception as error:
            self._spoiled = error
            raise

    def _wait_among(self, waiting: "deque[greenlet] | list[greenlet]") -> None:
        if self._over:
            raise GreenletExit
        waiting.append(getcurrent())
        self._hub.switch()
