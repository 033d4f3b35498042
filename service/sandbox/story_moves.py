"""What can happen to a known person in a day, one function each; the table at the end is the repertoire."""

from dataclasses import replace

from service.sandbox.people import (
    Persona,
    clerk_deleted,
    clerk_session,
    clerk_user,
    slack_deactivated,
    slack_foreign,
)
from service.sandbox.personas import clerk_id, notion_id, slack_id
from service.sandbox.story_stage import HOUR_MS, Move, Stage, moved, renamed

FLAGS = {"feature_flags": {"new_calendar": True, "beta_console": False}}
CHOICES = {
    "preferences": {"theme": "dark", "notifications": False},
    "onboarding_status": {"step": "preferences", "completed": False, "started_at": "2026-01-05T09:30:00Z"},
}
# Browsers write unsafe metadata: an unknown field must be left out, a value of the wrong shape dropped whole.
MISTAKES = {"preferences": {"theme": "light", "digest": "weekly"}, "onboarding_status": "preferences"}


def keeps_quiet(_stage: Stage, _person: Persona) -> None:
    """Nothing: whoever is only in the lists must come through as well."""


def signs_in(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    for status in ("ended", "removed", "revoked"):
        session, started = clerk_id(stage.rng, "sess"), at
        user = stage.account(person) | {"last_sign_in_at": started}
        stage.clerk("session.created", clerk_session(user, session, started), started)
        at = stage.later(started)
        over = clerk_session(user, session, at, status=status, started_at_ms=started)
        stage.clerk(f"session.{status}", over, at)
        at = stage.later(at)


def is_renamed(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    stage.clerk("user.updated", clerk_user(renamed(person), updated_at_ms=at), at, seconds=True, note="rename")


def is_renamed_twice(stage: Stage, person: Persona) -> None:
    """The second change overtakes the first."""
    first = stage.moment()
    second = stage.later(first)
    typo = replace(person, first=person.first + "x")
    late = second + HOUR_MS
    stage.clerk(
        "user.updated",
        clerk_user(typo, updated_at_ms=first),
        first,
        arrives_ms=late,
        note="older update late",
    )
    stage.clerk("user.updated", clerk_user(renamed(person), updated_at_ms=second), second)


def is_renamed_twice_at_once(stage: Stage, person: Persona) -> None:
    """Two changes in one millisecond: only the envelopes differ, and the one that counts arrives first."""
    at = stage.moment()
    typo = clerk_user(replace(person, first=person.first + "x"), updated_at_ms=at)
    stage.clerk("user.updated", clerk_user(renamed(person), updated_at_ms=at), at + 40, note="same millisecond")
    stage.clerk("user.updated", typo, at, arrives_ms=at + HOUR_MS, note="same millisecond")


def changes_address(stage: Stage, person: Persona) -> None:
    """The old address stays on the account, before the new one; Slack follows. Not in Notion: a guest."""
    at = stage.moment()
    after = moved(person)
    former = [person.email] if person.email else []
    stage.clerk(
        "user.updated",
        clerk_user(after, updated_at_ms=at, former_emails=former),
        at,
        note="primary address not first",
    )
    at = stage.later(at)
    stage.slack("user_change", stage.member(after, at), at, note="address change")


def hands_address_on(stage: Stage, person: Persona) -> None:
    """A newcomer gets the address somebody gave up, and is heard of first."""
    given_up = stage.moment()
    taken = stage.later(given_up)
    heir = _account_anew(stage, _namesake(stage, person), taken)
    after = moved(person)
    stage.clerk(
        "user.updated",
        clerk_user(after, updated_at_ms=given_up),
        given_up,
        arrives_ms=taken + HOUR_MS,
        note="address handed on",
    )
    stage.clerk("user.created", clerk_user(heir), taken, note="address handed on")
    at = taken + 2 * HOUR_MS
    stage.slack("user_change", stage.member(after, at), at)


def returns(stage: Stage, person: Persona) -> None:
    """Deleted and signed up again with the same address; the old account's deletion is heard of last."""
    gone = stage.moment()
    back = stage.later(gone)
    again = _account_anew(stage, person, back)
    stage.clerk(
        "user.deleted",
        clerk_deleted(person.clerk_id),
        gone,
        arrives_ms=back + HOUR_MS,
        note="same address, new account",
    )
    stage.clerk("user.created", clerk_user(again), back, note="same address, new account")


def leaves(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    stage.clerk("user.deleted", clerk_deleted(person.clerk_id), at, note="deletion")


def leaves_and_is_updated_late(stage: Stage, person: Persona) -> None:
    changed = stage.moment()
    gone = stage.later(changed)
    update = clerk_user(renamed(person), updated_at_ms=changed)
    stage.clerk("user.deleted", clerk_deleted(person.clerk_id), gone, seconds=True)
    stage.clerk("user.updated", update, changed, arrives_ms=gone + HOUR_MS, note="update after delete")


def is_banned(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    stage.clerk("user.updated", clerk_user(person, updated_at_ms=at, banned=True), at, note="ban")


def is_locked(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    stage.clerk("user.updated", clerk_user(person, updated_at_ms=at, locked=True), at, note="lock")


def is_promoted(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    data = clerk_user(person, updated_at_ms=at, public_metadata={"role": "admin"})
    stage.clerk("user.updated", data, at, note="admin")


def sets_preferences(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    data = clerk_user(person, updated_at_ms=at, public_metadata=FLAGS, unsafe_metadata=CHOICES)
    stage.clerk("user.updated", data, at, note="metadata")


def edits_slack_profile(stage: Stage, person: Persona) -> None:
    """A nickname, a title, a status: Slack's name is not the person's, and one change comes as two events."""
    at = stage.moment()
    user = stage.member(replace(person, first="~ " + person.first, title="On holiday"), at, status="Away")
    stage.slack("user_change", user, at, note="profile change")
    stage.slack("user_change", user, at, note="same change, two events")


def is_deactivated(stage: Stage, person: Persona) -> None:
    changed = stage.moment()
    at = stage.later(changed)
    before = stage.member(person, changed, status="Packing")
    stage.slack("user_change", slack_deactivated(before, at // 1000), at, note="deactivation")
    stage.slack("user_change", before, changed, arrives_ms=at + HOUR_MS, note="older profile late")


def is_deactivated_and_comes_back(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    stage.slack("user_change", slack_deactivated(stage.member(person, at), at // 1000), at)
    at = stage.later(at)
    stage.slack("user_change", stage.member(person, at), at, note="reactivation")


def joins_slack(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    stage.slack("team_join", stage.member(person, at), at, note="joins Slack later")


def is_impersonated_in_slack(stage: Stage, person: Persona) -> None:
    """Somebody types a colleague's address into Slack and never confirms it."""
    at = stage.moment()
    user = stage.member(person, at) | {"is_email_confirmed": False}
    stage.slack("team_join", user, at, note="unconfirmed address")


def is_named_by_another_company(stage: Stage, person: Persona) -> None:
    at = stage.moment()
    stage.slack("user_change", slack_foreign(person, updated_s=at // 1000), at, note="foreign team")


def _namesake(stage: Stage, person: Persona) -> Persona:
    """Somebody else with the same address, whom Slack and Notion do not know."""
    return replace(
        person,
        slack_id=slack_id(stage.rng, "U"),
        notion_id=notion_id(stage.rng),
        first="Robin",
        last="Ashgrove",
        title="Intern",
    )


def _account_anew(stage: Stage, person: Persona, at_ms: int) -> Persona:
    return stage.welcome(replace(person, clerk_id=clerk_id(stage.rng, "user")), at_ms)


FOR_MEMBERS = (
    Move(keeps_quiet, public={"role": "admin"}),
    Move(signs_in),
    Move(is_renamed),
    Move(is_renamed_twice),
    Move(is_renamed_twice_at_once, in_slack=False),
    Move(changes_address, in_notion=False),
    Move(hands_address_on, in_notion=False),
    Move(returns),
    Move(leaves),
    Move(leaves_and_is_updated_late),
    Move(is_banned),
    Move(is_locked),
    Move(is_promoted),
    Move(sets_preferences),
    Move(edits_slack_profile),
    Move(is_deactivated),
    Move(is_deactivated_and_comes_back),
    Move(joins_slack, in_slack=False),
    Move(is_impersonated_in_slack, in_slack=False),
    Move(is_named_by_another_company, in_slack=False, in_notion=False),
    Move(keeps_quiet, unsafe=MISTAKES),
)
