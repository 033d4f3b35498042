"""Which identities are one person: a pure function of what the sources say now, never of how it came about.

- A live Clerk identity is a person. So is a roster entry that no Clerk identity has claimed.
- An address belongs to the newest *verified* Clerk claim on it; else to the roster; else to the newest
  unverified claim, which shows it but is linked to nothing.
- A roster entry, and a Slack or Notion identity with a verified address, join the owner of that address.
- A roster entry whose address a deleted Clerk person held last is no person any more (S3.3).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from db.identities import Identity, trace

CLERK, ROSTER, SLACK, NOTION = "clerk", "roster", "slack", "notion"

# In a Slack identity's data: the newest statement on whether its address is confirmed, and for which address.
CONFIRMATION = "confirmation"

Ref = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """One person: the identity they stand on, the ones that joined it, and the address they show."""

    anchor: Identity
    joined: tuple[Identity, ...]
    email: str | None

    @property
    def members(self) -> tuple[Identity, ...]:
        return (self.anchor, *self.joined)


@dataclass(frozen=True, slots=True)
class Claims:
    """Everything said about one address."""

    owner: Identity | None
    roster: Identity | None
    unverified: Identity | None

    @property
    def host(self) -> Identity | None:
        """Who others with this address join."""
        return self.owner or self.roster

    @property
    def shown_by(self) -> Identity | None:
        return self.owner or self.roster or self.unverified


def resolve(identities: Iterable[Identity]) -> list[Group]:
    """Group identities into people. They must include every identity that shares an address with another of them."""
    everyone = list(identities)
    if len(everyone) == 1:
        return _alone(everyone[0])
    addresses = {identity.email for identity in everyone if identity.live and identity.email}
    claims = {address: _claims(address, everyone) for address in addresses}
    hosts = {identity.ref: _host(identity, claims) for identity in everyone}
    groups = []
    for anchor in everyone:
        if hosts[anchor.ref] is not anchor:
            continue
        joined = tuple(other for other in everyone if other is not anchor and hosts[other.ref] is anchor)
        shows = anchor.email and claims[anchor.email].shown_by is anchor
        groups.append(Group(anchor, joined, anchor.email if shows else None))
    return groups


def _alone(identity: Identity) -> list[Group]:
    """The same for one that shares its address with nobody, which nearly all do."""
    lives = identity.live and (identity.provider == CLERK or (identity.provider == ROSTER and identity.email_verified))
    return [Group(identity, (), identity.email)] if lives else []


def _claims(address: str, everyone: list[Identity]) -> Claims:
    live = [identity for identity in everyone if identity.live and identity.email == address]
    clerk = [identity for identity in live if identity.provider == CLERK]
    roster = next((identity for identity in live if identity.provider == ROSTER), None)
    left_behind = trace(address)
    retired = any(identity.email == left_behind for identity in everyone)
    return Claims(
        owner=newest(identity for identity in clerk if identity.email_verified),
        roster=None if retired else roster,
        unverified=newest(identity for identity in clerk if not identity.email_verified),
    )


def _host(identity: Identity, claims: dict[str, Claims]) -> Identity | None:
    if not identity.live:
        return None
    if identity.provider == CLERK:
        return identity
    if identity.email is None or not identity.email_verified:
        return None
    return claims[identity.email].host


def newest(identities: Iterable[Identity]) -> Identity | None:
    return max(identities, key=lambda identity: (identity.version, identity.external_id), default=None)
