"""What each Slack event does. The `@on` lines are the list of what is handled; anything else is ignored."""

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from db import limits, sync
from db.identities import Identity
from db.inbox import key_of
from db.sync import Known
from handlers.addresses import address
from handlers.alerts import alert
from handlers.bodies import complaint, json_object
from handlers.people.linking import CONFIRMATION, SLACK
from handlers.people.recording import record, version
from handlers.registry import APPLIED, Context, Dispatch, Event, Malformed, Message, Outcome, Reply, Source, ignored
from handlers.slack.home import HOME, mark_home
from handlers.slack.payloads import Empty, Envelope, HomeOpened, RateLimited, TokensRevoked, User, UserEvent
from handlers.slack.signature import Verifier

log = structlog.get_logger()
dispatch = Dispatch()

PATH = "/slack/events"
SLACKBOT = "USLACKBOT"
LONGEST_ID = 64
LONGEST_TYPE = 200


def source(secrets: tuple[str, ...]) -> Source:
    """Slack as a sender of events signed with one of these secrets."""
    return Source(SLACK, PATH, Verifier(secrets).verify, _event_id, parse, dispatch)


def parse(body: bytes, event_id: str | None) -> Message | Reply:
    """One event, or the answer to url_verification. Malformed when it is neither."""
    try:
        envelope = Envelope.model_validate(json_object(body))
        if envelope.type == "url_verification":
            return Reply({"challenge": envelope.challenge or ""})
        type_, said = envelope.type, envelope.event or {}
        if type_ == "event_callback":
            if envelope.event_id is None:
                raise Malformed("event_id: the event has none")
            type_ = _kind(said.get("type"))
        model = dispatch.models.get(type_)
        data = model.model_validate(said) if model else None
    except ValidationError as error:
        raise complaint(error) from None
    id_ = envelope.event_id or event_id or key_of(body)
    return Message(id_, type_, Event(envelope, data, body), _subject(said, data))


def _kind(found: Any) -> str:
    if not isinstance(found, str) or not 0 < len(found) <= LONGEST_TYPE:
        raise Malformed(f"event.type: must be a string of 1 to {LONGEST_TYPE} characters")
    return found


def _subject(said: Mapping[str, Any], data: Any) -> str | None:
    """Whom the event is about, so that its body can be found when they are to be forgotten."""
    if isinstance(data, UserEvent):
        return data.user.id
    named = said.get("user")  # a kind nobody handles: an id, or a whole user
    found = named.get("id") if isinstance(named, dict) else named
    return found if isinstance(found, str) and 0 < len(found) <= LONGEST_ID else None


def _event_id(_headers: Mapping[str, str]) -> str | None:
    return None  # it stands in the body


@dispatch.on("team_join", "user_change", data=UserEvent)
def user_saved(tx: Connection, event: Event[Envelope], context: Context, now: int) -> Outcome:
    """The Slack identity, and with it slack_user_id, status, profile and time zone of the person it belongs to."""
    user: User = event.data.user
    if reason := not_ours(user, event.envelope.team_id, event.envelope.enterprise_id):
        return ignored(reason)
    said = identity_of(user, sent_at=_sent_at(event), body=event.body)
    if not record(tx, said, context, now):
        return Outcome("stale", note="a newer event about this user was here first")
    return APPLIED


@dispatch.on("tokens_revoked", data=TokensRevoked)
def tokens_revoked(tx: Connection, event: Event[Envelope], context: Context, now: int) -> Outcome:
    """Without our bot token nothing can be sent; a user's own token is not ours."""
    if not event.data.tokens.bot:
        return ignored("no bot token was revoked")
    return _sending_off(tx, "the bot token was revoked", context, now)


@dispatch.on("app_uninstalled", data=Empty)
def app_uninstalled(tx: Connection, _event: Event[Envelope], context: Context, now: int) -> Outcome:
    return _sending_off(tx, "the app was uninstalled", context, now)


@dispatch.on("app_home_opened", data=HomeOpened)
def app_home_opened(tx: Connection, event: Event[Envelope], context: Context, now: int) -> Outcome:
    """The page is brought up to date each time somebody looks at it; it goes out as a mark, so it is not lost."""
    if event.data.tab not in (None, "home"):
        return ignored("another tab than the home page")
    if event.data.view is None:  # whatever was shown there once is gone
        sync.remember(tx, context.workspace_id, SLACK, f"{HOME}{event.data.user}", Known(), now)
    mark_home(tx, context, event.data.user, now)
    return APPLIED


@dispatch.on("app_rate_limited", data=RateLimited)
def app_rate_limited(_tx: Connection, event: Event[Envelope], _context: Context, _now: int) -> Outcome:
    """Slack dropped events for a minute (over 30,000 an hour): only a listing can make up for them."""
    log.warning("slack_dropped_events", fix="run `rollcall import slack`", team=event.envelope.team_id)
    return APPLIED


def _sending_off(tx: Connection, why: str, context: Context, now: int) -> Outcome:
    limits.switch_off(tx, SLACK, why)
    text = f"Slack: {why}. Nothing is sent to Slack until SLACK_BOT_TOKEN is renewed and Rollcall restarted."
    alert(tx, context, f"slack-off:{now}", text, now)
    return APPLIED


def not_ours(user: User, team_id: str | None, enterprise_id: str | None) -> str | None:
    """Why this user is nobody Rollcall keeps; None for a person of our own team."""
    if user.is_bot or user.is_workflow_bot or user.id == SLACKBOT:
        return "a bot"
    if user.is_stranger:
        return "a stranger from another organisation"
    grid = user.enterprise_user.enterprise_id if user.enterprise_user else None
    if not (team_id and user.team_id == team_id) and not (enterprise_id and grid == enterprise_id):
        return "a user of another team"
    # Slack Connect may leave `deleted` out; that is no proof of being active.
    return "the event does not say whether the user is active" if user.deleted is None else None


def identity_of(user: User, *, sent_at: int, body: bytes) -> Identity:
    """What Slack says of a user. `sent_at`: the event's time, ms; 0 for a listing, which loses every tie."""
    email = address(user.profile.email)
    if user.is_forgotten:
        return Identity(SLACK, user.id, None, email_verified=False, version="", data={}, deleted_at=sent_at or 1)
    said: dict[str, Any] = {
        "real_name": _text(user.profile.real_name) or _text(user.real_name),
        "display_name": _text(user.profile.display_name),
        "title": _text(user.profile.title),
        "timezone": _text(user.tz, longest=64),
        "language": _text(user.locale, longest=35),
        "deactivated": user.deleted or None,
    }
    stamp = version((user.updated or 0) * 1000, sent_at, body)
    if user.is_email_confirmed is not None:
        confirmed = email if user.is_email_confirmed else None
        said[CONFIRMATION] = {"version": stamp, "email": confirmed}
    return Identity(
        provider=SLACK,
        external_id=user.id,
        email=email,
        email_verified=bool(email and user.is_email_confirmed),
        version=stamp,
        data={key: value for key, value in said.items() if value is not None},
    )


def _text(value: str | None, longest: int = 2000) -> str | None:
    """Slack sends absent, null and empty for the same thing."""
    return (value or "").strip()[:longest] or None


def _sent_at(event: Event[Envelope]) -> int:
    stamp: str | None = event.data.event_ts
    if stamp is None:
        return (event.envelope.event_time or 0) * 1000
    seconds, _, fraction = stamp.partition(".")
    return int(seconds) * 1000 + int(fraction[:3].ljust(3, "0"))
