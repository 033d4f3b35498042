"""How newcomers arrive, in the order Clerk and Slack should say it and in others; a table ends the page."""

from dataclasses import replace

from service.sandbox.people import Persona, clerk_deleted, clerk_session, clerk_user
from service.sandbox.personas import clerk_id
from service.sandbox.story_moves import FLAGS
from service.sandbox.story_stage import HOUR_MS, Move, Stage, renamed


def arrives(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    newcomer = stage.welcome(person, at)
    user = clerk_user(newcomer, public_metadata={"signup_source": "invite"} | FLAGS)
    stage.clerk("user.created", user, at, note="join")
    at = stage.later(at)
    stage.clerk("session.created", clerk_session(user, clerk_id(stage.rng, "sess"), at), at)
    at = stage.later(at)
    stage.slack("team_join", stage.member(newcomer, at), at, note="join")


def arrives_in_slack_first(stage: Stage, person: Persona) -> None:
    """Slack spells the address with capitals."""
    at = stage.moment()
    shouting = replace(person, email=person.email.title() if person.email else None)
    stage.slack("team_join", stage.member(shouting, at), at, note="Slack before Clerk")
    at = stage.later(at)
    stage.clerk("user.created", clerk_user(stage.welcome(person, at)), at)


def arrives_and_is_updated_first(stage: Stage, person: Persona) -> None:
    created = stage.moment()
    newcomer = stage.welcome(person, created)
    at = stage.later(created)
    stage.clerk("user.updated", clerk_user(renamed(newcomer), updated_at_ms=at), at, note="update before create")
    stage.clerk("user.created", clerk_user(newcomer), created, arrives_ms=at + HOUR_MS)


def arrives_and_is_deleted_first(stage: Stage, person: Persona) -> None:
    created = stage.moment()
    newcomer = stage.welcome(person, created)
    gone = stage.later(created)
    stage.clerk("user.deleted", clerk_deleted(person.clerk_id), gone, note="delete before create")
    stage.clerk("user.created", clerk_user(newcomer), created, arrives_ms=gone + HOUR_MS)


def arrives_and_signs_in_first(stage: Stage, person: Persona) -> None:
    created = stage.moment()
    user = clerk_user(stage.welcome(person, created))
    at = stage.later(created)
    session = clerk_session(user, clerk_id(stage.rng, "sess"), at)
    stage.clerk("session.created", session, at, note="session before its person")
    stage.clerk("user.created", user, created, arrives_ms=at + HOUR_MS)


def arrives_by_phone(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    number = f"+1202555{stage.rng.randrange(100, 200):04d}"
    newcomer = stage.welcome(replace(person, email=None, phone=number), at)
    stage.clerk("user.created", clerk_user(newcomer), at, note="phone only")


FOR_NEWCOMERS = (
    Move(arrives),
    Move(arrives_in_slack_first),
    Move(arrives_and_is_updated_first, in_notion=False),
    Move(arrives_and_is_deleted_first),
    Move(arrives_and_signs_in_first, in_notion=False),
    Move(arrives_by_phone, in_notion=False),
)
