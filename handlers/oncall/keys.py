"""The keys on-call work goes by in the outbox: one place, so that whoever marks and whoever delivers agree."""

from datetime import date

from handlers.oncall.model import Slot

CALENDAR = "notion"  # the sink that shows the schedule: a mark `shift:<date>:<rotation>` each
CYCLE = "calendar"  # a mark of the same sink: compare all of it with what is shown there
SLACK = "slack"  # the sink that carries messages to people
PLAN = "oncall:plan"  # the job that plans, a mark of the clock
CHANGEOVER = "oncall:changeover"  # the job that says when somebody else is on call
REMIND = "oncall:remind"  # the job that reminds people of their shifts

_SHIFT = "shift:"


def shift_key(slot: Slot) -> str:
    """`shift:2026-12-24:PM`: a slot's mark, and its page's key on the other side."""
    return f"{_SHIFT}{slot.date.isoformat()}:{slot.rotation}"


def slot_of(key: str) -> Slot | None:
    """The reverse; None where the key is no shift's."""
    parts = key.removeprefix(_SHIFT).split(":", 1)
    if not key.startswith(_SHIFT) or len(parts) != 2:  # noqa: PLR2004 - a date and a rotation
        return None
    try:
        return Slot(date.fromisoformat(parts[0]), parts[1])
    except ValueError:
        return None


def message_key(occasion: str, user_id: int) -> str:
    """A message to one person, sent once for each occasion (a run, a request)."""
    return f"oncall:{occasion}:{user_id}"
