"""Calls side by side in one transaction: who goes on when, who waits for whom, and what comes of a failure."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from db.postgres_abreast import Abreast, Crosswise


class Server:
    """Counts round trips, and notes what the calls did between them."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.exchanges = 0
        self.abreast = Abreast(self.exchange)

    def exchange(self) -> None:
        self.exchanges += 1
        self.said.append("-")

    def call(self, name: str, *steps: str | int) -> Callable[[], None]:
        """A call that does these steps: holds a key where one is a number, asks where it is a name."""

        def run() -> None:
            for step in steps:
                if isinstance(step, int):
                    self.abreast.hold([step])
                else:
                    self.said.append(name + step)
                    self.abreast.ask()
            self.said.append(name + "!")

        return run

    def run(self, *calls: Callable[[], None]) -> str:
        with self.abreast:
            self.abreast.run(calls)
        return " ".join(self.said)


def test_what_all_ask_next_goes_in_one_round_trip() -> None:
    server = Server()
    assert server.run(server.call("a", "1", "2"), server.call("b", "1"), server.call("c")) == ("a1 b1 c! - a2 b! - a!")
    assert server.exchanges == 2


def test_who_wants_what_another_holds_goes_on_when_that_one_is_through() -> None:
    server = Server()
    found = server.run(server.call("a", 7, "1", "2"), server.call("b", 7, "1"), server.call("c", 8, "1"))
    assert found == "a1 c1 - a2 c! - a! b1 - b!"


def test_what_is_held_is_held_to_the_end_and_may_be_asked_for_again() -> None:
    server = Server()
    assert server.run(server.call("a", 7, "1", 7, 8, "2"), server.call("b", 8, "1")) == "a1 b1 - b! a2 - a!"


def test_those_who_wait_for_each_other_crosswise_are_given_up() -> None:
    server = Server()
    with pytest.raises(Crosswise, match="waits for what another holds"):
        server.run(server.call("a", 7, "1", 8, "2"), server.call("b", 8, "1", 7, "2"))
    assert server.said == ["a1", "b1", "-"]


def test_what_one_raises_ends_all_and_lets_each_clean_up() -> None:
    server = Server()
    cleaned: list[str] = []

    def tidy() -> None:
        try:
            server.abreast.ask()
        finally:
            cleaned.append("tidy")
            server.abreast.ask()  # there is nobody any more to answer

    def fails() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        server.run(tidy, fails, server.call("c", "1"))
    assert (cleaned, server.exchanges, server.said) == (["tidy"], 0, [])


def test_an_exchange_that_fails_ends_all() -> None:
    server = Server()

    def broken() -> None:
        raise ConnectionError("gone")

    abreast = Abreast(broken)
    server.abreast = abreast
    with pytest.raises(ConnectionError, match="gone"):
        server.run(server.call("a", "1"), server.call("b", "1"))
    assert server.said == ["a1", "b1"]


def test_what_is_undone_within_one_undoes_all_even_where_it_was_caught() -> None:
    server = Server()

    def catches() -> None:
        with suppress(ValueError), server.abreast.undone_together():
            server.abreast.ask()
            raise ValueError("undone")
        server.said.append("caught")

    with pytest.raises(Crosswise, match="cannot be undone in company"):
        server.run(catches, server.call("b", "1"))
    assert server.said == ["b1", "-", "caught", "b!"]


def test_who_works_on_everybody_has_no_company() -> None:
    server = Server()
    with pytest.raises(Crosswise, match="works on everybody"):
        server.run(server.call("a", "1"), server.abreast.hold_all)
