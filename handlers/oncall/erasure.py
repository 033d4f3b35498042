"""When a person goes: their number stays in the history, what names them does not; or another row goes on for them."""

from sqlalchemy import Connection

from db import oncall, oncall_members, retention
from handlers.oncall.keys import SLACK


def forget(tx: Connection, user_id: int, now: int) -> None:  # noqa: ARG001 - every seam of erasure takes the time
    """Erasure (S1.10): past rows become those of a former member. Shifts to come are given to others: `depart`."""
    oncall.forget(tx, user_id, f"former member {user_id}")
    oncall_members.forget(tx, user_id)
    retention.silence(tx, SLACK)


def join(tx: Connection, user_id: int, to_user_id: int) -> None:
    """Two rows of `users` turned out to be one person: the other row goes on for both."""
    oncall.hand_over(tx, user_id, to_user_id)
    oncall_members.hand_over(tx, user_id, to_user_id)
