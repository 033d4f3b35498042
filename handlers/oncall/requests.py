"""What can be asked to change, as values that survive a round trip through a Slack modal or a file.

Everything that changes the schedule is one of these. `by` is who asks (a row of `users`); None is an operator at the
command line, or the clock. Read one back with `parse`; `preview` and `confirm` in changing.py say and do it.
"""

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Reason = Annotated[str, Field(max_length=500)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    by: int | None = None


class Replan(_Request):
    """Plan from today to the horizon. `anyway`: also with too few people or an empty rotation (as the clock does)."""

    kind: Literal["plan"] = "plan"
    anyway: bool = False


class Override(_Request):
    """Somebody else serves one slot."""

    kind: Literal["override"] = "override"
    date: dt.date
    rotation: str
    person: int
    reason: Reason = ""


class LiftOverride(_Request):
    """Whoever was planned serves after all."""

    kind: Literal["lift"] = "lift"
    date: dt.date
    rotation: str


class AskSwap(_Request):
    """`by` (for an operator: whoever serves the slot) asks `other` to take it, for one of theirs in return or none."""

    kind: Literal["swap"] = "swap"
    date: dt.date
    rotation: str
    other: int
    other_date: dt.date | None = None
    other_rotation: str | None = None
    reason: Reason = ""


class AnswerSwap(_Request):
    """The other accepts or declines, or whoever asked cancels."""

    kind: Literal["answer"] = "answer"
    swap: int
    answer: Literal["accept", "decline", "cancel"]


class AddTimeOff(_Request):
    """`person` is away, both days inclusive. `anyway`: even if nobody can take a slot of theirs."""

    kind: Literal["off"] = "off"
    person: int
    first: dt.date
    last: dt.date
    reason: Reason = ""
    anyway: bool = False


class RemoveTimeOff(_Request):
    """`absence`: its row."""

    kind: Literal["back"] = "back"
    absence: int


class SetHoliday(_Request):
    """A day of the workspace's own on which nobody is on call; `worked`: a country's holiday that it works."""

    kind: Literal["holiday"] = "holiday"
    date: dt.date
    name: Annotated[str, Field(min_length=1, max_length=100)] = "Holiday"
    worked: bool = False


class UnsetHoliday(_Request):
    """Take back what the workspace said of a day."""

    kind: Literal["no-holiday"] = "no-holiday"
    date: dt.date


class ChangeSettings(_Request):
    """Settings of the workspace by name, as OnCallSettings reads them."""

    kind: Literal["settings"] = "settings"
    changes: dict[str, Any]


class Line(BaseModel):
    """One shift of a file. `person` None with a name: somebody of the past whom nobody knows any more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    date: dt.date
    rotation: str
    person: int | None = None
    email: str | None = None
    name: str | None = None
    override: int | None = None
    reason: Reason = ""


class ImportSchedule(_Request):
    """A schedule from elsewhere: all lines, or with `skip_bad` those that can be."""

    kind: Literal["import"] = "import"
    lines: tuple[Line, ...]
    skip_bad: bool = False


Request = Annotated[
    Replan
    | Override
    | LiftOverride
    | AskSwap
    | AnswerSwap
    | AddTimeOff
    | RemoveTimeOff
    | SetHoliday
    | UnsetHoliday
    | ChangeSettings
    | ImportSchedule,
    Field(discriminator="kind"),
]
_READ: TypeAdapter[Request] = TypeAdapter(Request)


def parse(text: str | bytes) -> Request:
    """A request from its JSON (`request.model_dump_json()`). pydantic's ValidationError where it is none."""
    return _READ.validate_json(text)
