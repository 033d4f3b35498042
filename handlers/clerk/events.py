"""What each Clerk event does. The `@on` lines are the list of what is handled; anything else is ignored."""

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from db import identities, locks
from db.identities import Identity
from handlers.addresses import address
from handlers.bodies import complaint, json_object
from handlers.clerk.payloads import Deleted, Envelope, Session, User
from handlers.clerk.signature import Verifier, message_id
from handlers.people import sessions
from handlers.people.linking import CLERK
from handlers.people.recording import Recorded, record, version
from handlers.people.values import accept
from handlers.registry import APPLIED, Context, Dispatch, Event, Message, Outcome, Source, ignored

log = structlog.get_logger()
dispatch = Dispatch()

PATH = "/webhooks/clerk"
LONGEST_ID = 256


def source(secrets: tuple[str, ...]) -> Source:
    """Clerk as a sender of webhooks signed with one of these secrets."""
    return Source(CLERK, PATH, Verifier(secrets).verify, _event_id, parse, dispatch)


def parse(body: bytes, event_id: str | None) -> Message:
    """One event. Malformed when it is none, or when data we use has a wrong type."""
    assert event_id is not None  # verified headers carry it, and so does the inbox
    try:
        envelope = Envelope.model_validate(json_object(body))
        model = dispatch.models.get(envelope.type)
        data = model.model_validate(envelope.data) if model else None
    except ValidationError as error:
        raise complaint(error) from None
    return Message(event_id, envelope.type, Event(envelope, data, body), _subject(envelope, data))


def _subject(envelope: Envelope, data: Any) -> str | None:
    """Whom the event is about, so that its body can be found when they are to be forgotten."""
    if isinstance(data, Session):
        return data.user_id
    if isinstance(data, User | Deleted):
        return data.id
    # A kind nobody handles: its body is kept all the same.
    said = envelope.data
    named = [found for key in ("user_id", "id") if isinstance(found := said.get(key), str)]
    return next((found for found in named if found.startswith("user_") and len(found) <= LONGEST_ID), None)


def _event_id(headers: Mapping[str, str]) -> str | None:
    return message_id(headers)


@dispatch.on("user.created", "user.updated", data=User)
def user_saved(tx: Connection, event: Event[Envelope], context: Context, now: int) -> Outcome:
    """Person, derived data and marks, from whichever of the two comes first or last (S3.1, S3.2)."""
    said = identity_of(event.data, sent_at=event.envelope.sent_at, body=event.body)
    recorded = record(tx, said, context, now)
    if recorded is Recorded.STALE:
        return Outcome("stale", note="a newer event about this user was here first")
    return Outcome(arrived=said.external_id) if recorded is Recorded.FIRST else APPLIED


@dispatch.on("user.deleted", data=Deleted)
def user_deleted(tx: Connection, event: Event[Envelope], context: Context, now: int) -> Outcome:
    """The person goes, and no late event brings them back (S3.3)."""
    if event.data.id is None:
        log.warning("clerk_deletion_without_id", fix="run `rollcall import clerk`: a full listing shows who is gone")
        return ignored("the deletion names no user")
    if not record(tx, gone(event.data.id, event.envelope.sent_at or now), context, now):
        return Outcome("stale", note="this user is deleted already")
    return Outcome(arrived=event.data.id)


@dispatch.on("session.created", "session.ended", "session.removed", "session.revoked", data=Session)
def session_changed(tx: Connection, event: Event[Envelope], _context: Context, _now: int) -> Outcome:
    """session_count, last_active and login_history (S3.4); before its person, the event waits."""
    session: Session = event.data
    locks.hold(tx, (CLERK, session.user_id))  # two sessions add up; and the person may be arriving just now
    person = identities.get(tx, CLERK, session.user_id)
    if person is None:
        return Outcome("waiting", waiting_for=session.user_id, note="this user is not known yet")
    if person.user_id is None:
        return ignored("this user is deleted")
    began = event.envelope.type == "session.created"
    sessions.note(tx, person.user_id, _activity(event, session), login=_login(event, session) if began else None)
    return APPLIED


def identity_of(user: User, *, sent_at: int, body: bytes) -> Identity:
    """What Clerk says of a user. `sent_at` is the envelope's time, ms; 0 for a listing, which loses every tie."""
    primary = user.primary_email
    email = address(primary.email_address) if primary else None
    if primary and primary.email_address and email is None:
        log.warning("address_dropped", clerk_id=user.id, reason="not an e-mail address")
    return Identity(
        provider=CLERK,
        external_id=user.id,
        email=email,
        email_verified=bool(email and primary and primary.verified),
        version=version(user.updated_at, sent_at, body),
        data=_data(user, sent_at),
    )


def gone(clerk_id: str, deleted_at: int) -> Identity:
    """What Clerk says of a user who is deleted."""
    return Identity(CLERK, clerk_id, None, email_verified=False, version="", data={}, deleted_at=deleted_at)


def _data(user: User, sent_at: int) -> dict[str, Any]:
    public, unsafe = user.public_metadata or {}, user.unsafe_metadata or {}
    said = {
        "first_name": (user.first_name or "").strip() or None,
        "last_name": (user.last_name or "").strip() or None,
        "username": (user.username or "").strip() or None,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "synced_at": sent_at or user.updated_at,
        "banned": user.banned or None,
        "locked": user.locked or None,
        "admin": public.get("role") == "admin" or None,
        "source": public.get("signup_source") if public.get("signup_source") in ("invite", "admin") else None,
        "feature_flags": accept("feature_flags", public.get("feature_flags"), clerk_id=user.id),
        "preferences": accept("preferences", unsafe.get("preferences"), clerk_id=user.id),
        "onboarding_status": accept("onboarding_status", unsafe.get("onboarding_status"), clerk_id=user.id),
    }
    return {key: value for key, value in said.items() if value is not None}


def _activity(event: Event[Envelope], session: Session) -> int:
    """The latest moment this event proves the person was active, ms."""
    return session.last_active_at or session.created_at or event.envelope.sent_at


def _login(event: Event[Envelope], session: Session) -> dict[str, Any]:
    request = event.envelope.event_attributes and event.envelope.event_attributes.http_request
    return {
        "at": session.created_at or event.envelope.sent_at,
        "device": request.user_agent if request else None,
        "ip": request.client_ip if request else None,
    }
