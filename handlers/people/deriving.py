"""A person, derived from their identities: every column has one source that owns it."""

from dataclasses import dataclass, field
from typing import Any

from db.identities import Identity
from db.people import Person
from handlers.people.linking import CLERK, NOTION, ROSTER, SLACK, Group, newest
from handlers.people.values import iso

DERIVED_KEYS = frozenset(
    {
        "signup_date",
        "signup_source",
        "last_clerk_sync",
        "preferences",
        "feature_flags",
        "onboarding_status",
        "profile",
    }
)


@dataclass(frozen=True, slots=True)
class Derived:
    """The `users` row, the `user_data` that follows from identities, and the rotations the roster names."""

    person: Person
    data: dict[str, Any] = field(default_factory=dict)
    rotations: tuple[str, ...] = ()

    @property
    def visible(self) -> tuple[Any, ...]:
        """What other platforms show: a change of anything else raises no mark."""
        return shown(self.person, self.data)


def shown(person: Person, data: dict[str, Any]) -> tuple[Any, ...]:
    return person, data.get("profile", {}).get("title"), data.get("preferences", {}).get("timezone")


def derive(group: Group, admin_emails: frozenset[str]) -> Derived:
    clerk = group.anchor if group.anchor.provider == CLERK else None
    roster = _of(group, ROSTER)
    slack = _of(group, SLACK)
    notion = _of(group, NOTION)
    own = clerk.data if clerk else {}
    person = Person(
        clerk_id=clerk.external_id if clerk else None,
        email=group.email,
        name=name_of(group.anchor, roster, slack),
        first_name=own.get("first_name"),
        last_name=own.get("last_name"),
        slack_user_id=slack.external_id if slack else None,
        notion_person_id=notion.external_id if notion else None,
        role="admin" if own.get("admin") or _is_admin(group, admin_emails) else "member",
        status=_status(own, slack),
    )
    rotations = tuple(roster.data.get("rotations", ())) if roster else ()
    return Derived(person, _data(clerk, roster, slack), rotations)


def name_of(anchor: Identity, roster: Identity | None, slack: Identity | None) -> str:
    """The real name where one is known; else what the address, user name or id suggests (S1.3)."""
    own = anchor.data
    full = " ".join(part for part in (own.get("first_name"), own.get("last_name")) if part)
    said = full or (roster and roster.data.get("name")) or (slack and slack.data.get("real_name"))
    return said or own.get("username") or _from_address(anchor.email) or anchor.external_id


def _from_address(email: str | None) -> str | None:
    """ada.lovelace@… → Ada Lovelace"""
    if not email:
        return None
    words = email.partition("@")[0].partition("+")[0].replace(".", " ").replace("_", " ").replace("-", " ").split()
    return " ".join(word[:1].upper() + word[1:] for word in words) or None


def _of(group: Group, provider: str) -> Identity | None:
    """The identity that speaks for a platform: one still in use before a deactivated one, then the newest."""
    if not group.joined:
        return group.anchor if group.anchor.provider == provider else None
    found = [identity for identity in group.members if identity.provider == provider]
    in_use = [identity for identity in found if not identity.data.get("deactivated")]
    return newest(in_use or found)


def _is_admin(group: Group, admin_emails: frozenset[str]) -> bool:
    return group.email in admin_emails and group.anchor.email_verified


def _status(own: dict[str, Any], slack: Identity | None) -> str:
    if own.get("banned"):
        return "banned"
    if own.get("locked"):
        return "locked"
    return "inactive" if slack and slack.data.get("deactivated") else "active"


def _data(clerk: Identity | None, roster: Identity | None, slack: Identity | None) -> dict[str, Any]:
    data: dict[str, Any] = {}
    own = clerk.data if clerk else {}
    if clerk:
        data["signup_date"] = iso(own["created_at"])
        data["last_clerk_sync"] = iso(own["synced_at"])
        data["feature_flags"] = own.get("feature_flags")
        data["onboarding_status"] = own.get("onboarding_status")
    data["signup_source"] = "admin" if roster else own.get("source", "clerk")
    said = slack.data if slack else {}
    data["profile"] = _known(title=said.get("title"), display_name=said.get("display_name"))
    # What the person chose in Clerk's metadata comes before what Slack observes.
    data["preferences"] = _known(language=said.get("language"), timezone=said.get("timezone")) | (
        own.get("preferences") or {}
    )
    return {key: value for key, value in data.items() if value not in (None, {})}


def _known(**values: str | None) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}
