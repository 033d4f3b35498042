"""Every point of S2, the calendar in Notion, is named by a test that proves it: `s2_7` in its name, or S2.7 beneath.

So is everything wrong that can be asked about being on call: at the rules, and typed in Slack.
"""

import ast
import functools
import re
from collections.abc import Iterator

import pytest

from tests.docs.pages import ROOT, text_of

POINTS = {  # of the requirements
    1: "date with start, end and zone",
    2: "original, override, final engineer",
    3: "after each generation, which it never fails",
    4: "create, update, delete; no write where nothing differs",
    5: "address to person, else the address as text",
    6: "removes in the synced range only",
    7: "retries, then an alert; kept for replay",
    8: "databases of each environment",
    9: "the past moves, and is immutable",
    10: "limits, two minutes, agreement measured",
    11: "no editing in Notion, no weekends",
    12: "schema made and verified",
}


BAD_INPUT = (  # of the issue; as tests call it, at the rules and in Slack
    "an unknown person",
    "an unknown date",
    "a date in the past",
    "overlapping leave, leave that overlaps",
    "an override by",
    "a swap with oneself",
    "a holiday",
    "an unfillable slot, leave a shift unfilled",
    "two people and three rotations",
    "a rotation with nobody",
)
REFUSALS = ("tests/handlers/oncall/test_refusals.py", "tests/handlers/slack/test_refusals.py")


@pytest.mark.parametrize("file", REFUSALS)
@pytest.mark.parametrize("what", BAD_INPUT)
def test_a_test_names_each_thing_that_may_be_asked_wrongly(what: str, file: str) -> None:
    said = text_of(ROOT / file).replace("_", " ")
    assert any(name in said for name in what.split(", "))


@functools.cache  # all tests are read for it
def named() -> list[tuple[int, str]]:
    return list(_named())


def _named() -> Iterator[tuple[int, str]]:
    for file in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(text_of(file))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                points = re.findall(r"s2_(\d+)(?=_|$)", node.name)
                points += re.findall(r"\bS2\.(\d+)\b", ast.get_docstring(node) or "")
                yield from ((int(point), node.name) for point in points)


@pytest.mark.parametrize("point", POINTS)
def test_a_test_names_each_point_of_s2(point: int) -> None:
    assert [name for number, name in named() if number == point] != []


def test_no_test_names_a_point_there_is_not() -> None:
    assert {number for number, _ in named()} <= POINTS.keys()
