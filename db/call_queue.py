"""The calls that wait for PostgreSQL's writer threads: taken in order, a few of one kind at a time."""

import threading
from collections import deque
from collections.abc import Callable, Iterable

from db.calls import Call


class CallQueue:
    """Any thread puts, writer threads take. After `end` takers get what is left, and then nothing."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._changed = threading.Condition()
        self._ended = False

    def put(self, call: Call) -> None:
        with self._changed:
            self._calls.append(call)
            self._changed.notify()

    def give_back(self, calls: Iterable[Call]) -> None:
        """Nothing came of them together: each is the next to be taken, alone."""
        with self._changed:
            for call in reversed(list(calls)):
                call.alone = True
                self._calls.appendleft(call)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self, share: Callable[[int], int]) -> list[Call]:
        """The first, and those right behind it of its kind, `share(how many wait)` at the most; waits for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._calls or self._ended)
            if not self._calls:
                return []
            most = share(len(self._calls))
            first = self._calls.popleft()
            batch = [first]
            while len(batch) < most and self._calls and _go_together(first, self._calls[0]):
                batch.append(self._calls.popleft())
            return batch


def _go_together(first: Call, next_: Call) -> bool:
    return first.fn is next_.fn and not first.alone and not next_.alone
