"""Events that came before the person they speak of: decided in the transaction that decides about that person."""

from sqlalchemy import Connection

from db import inbox
from db.database import savepoint
from db.errors import FAULTS
from handlers.alerts import alert
from handlers.registry import Context, Message, Outcome, Source

ALERT_AFTER = 3  # failures of one event
AT_ONCE = 20  # events that one transaction runs; however many waited, it is short


def release(tx: Connection, source: Source, external_id: str, context: Context, now: int) -> None:
    """Run what waited for this id, the rest in transactions of their own, soon; whoever records it for the first time,
    from an event or a list, calls this.
    """
    waited = inbox.waiting_for(tx, source.name, external_id, AT_ONCE)
    for event in waited:
        try:
            with savepoint(tx):
                message = source.parse(event.body, event.event_id)
                assert isinstance(message, Message)
                outcome = source.dispatch.handlers[message.type](tx, message.payload, context, now)
                become(tx, source, event.event_id, outcome)
        except FAULTS:
            raise
        except Exception as error:  # noqa: BLE001 - it must not keep the person from arriving
            note_failure(tx, event, f"{type(error).__name__}: {error}"[:500], context, now)
    if len(waited) == AT_ONCE:
        inbox.put_off(tx, source.name, external_id, now)


def become(tx: Connection, source: Source, event_id: str, outcome: Outcome) -> None:
    inbox.become(tx, source.name, event_id, outcome.status, waiting_for=outcome.waiting_for, error=outcome.note)


def note_failure(tx: Connection, event: inbox.Stored, error: str, context: Context, now: int) -> None:
    """One more failure: when to try again, and after the third an alert."""
    if inbox.fail(tx, event, error, now) == ALERT_AFTER:
        text = f"An event from {event.source} failed {ALERT_AFTER} times: `rollcall events show {event.id}`."
        alert(tx, context, f"event:{event.id}", text, now)
