"""What Clerk says of a persona: whole user, session and event objects, also the fields we never read."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from service.sandbox.personas import DAY_MS, Persona, clerk_id

Json = dict[str, Any]
SessionStatus = Literal["active", "revoked", "ended", "expired", "removed", "abandoned", "replaced"]

INSTANCE_ID = "ins_3RollcallSandboxInstance001"
_BROWSERS = (
    ("Chrome", "141.0.0.0", "Macintosh; Intel Mac OS X 10_15_7"),
    ("Firefox", "144.0", "X11; Linux x86_64"),
    ("Safari", "26.1", "iPhone; CPU iPhone OS 26_1 like Mac OS X"),
)


def clerk_user(
    person: Persona,
    *,
    updated_at_ms: int | None = None,
    former_emails: Sequence[str] = (),
    verified: bool = True,
    public_metadata: Mapping[str, Any] | None = None,
    unsafe_metadata: Mapping[str, Any] | None = None,
    banned: bool = False,
    locked: bool = False,
    last_sign_in_at_ms: int | None = None,
) -> Json:
    """A user as `GET /users` returns it and as `user.created` and `user.updated` carry it in `data`.

    `former_emails` stay on the account and stand before the primary address: Clerk lists the oldest first.
    """
    emails = [
        _email(person, address, verified=verified or address != person.email)
        for address in (*former_emails, *([person.email] if person.email else []))
    ]
    phones = [_phone(person, person.phone)] if person.phone else []
    return {
        "id": person.clerk_id,
        "object": "user",
        "external_id": None,
        "username": None,
        "first_name": person.first or None,
        "last_name": person.last or None,
        "primary_email_address_id": emails[-1]["id"] if person.email else None,
        "primary_phone_number_id": phones[0]["id"] if phones else None,
        "primary_web3_wallet_id": None,
        "locale": person.locale,
        "public_metadata": dict(public_metadata or {}),
        "private_metadata": None,
        "unsafe_metadata": dict(unsafe_metadata or {}),
        "email_addresses": emails,
        "phone_numbers": phones,
        "created_at": person.created_at_ms,
        "updated_at": person.created_at_ms if updated_at_ms is None else updated_at_ms,
        **_pictures(person),
        **_credentials(person),
        **_standing(banned, locked),
        **_activity(person, last_sign_in_at_ms),
    }


def clerk_deleted(user_id: str) -> Json:
    """All that `user.deleted` carries: no address, no time; only the envelope's `timestamp` says when."""
    return {"deleted": True, "id": user_id, "object": "user"}


def clerk_session(
    user: Mapping[str, Any],
    session_id: str,
    at_ms: int,
    *,
    status: SessionStatus = "active",
    started_at_ms: int | None = None,
) -> Json:
    """A session as `session.*` carries it: begun at `started_at_ms`, and `status` since `at_ms`."""
    started = at_ms if started_at_ms is None else started_at_ms
    rng = random.Random(session_id)
    return {
        "object": "session",
        "id": session_id,
        "user_id": user["id"],
        "user": dict(user),
        "client_id": clerk_id(rng, "client"),
        "actor": None,
        "status": status,
        "last_active_organization_id": None,
        "last_active_at": at_ms,
        "latest_activity": _device(rng),
        "expire_at": started + 7 * DAY_MS,
        "abandon_at": started + 30 * DAY_MS,
        "created_at": started,
        "updated_at": at_ms,
    }


def clerk_event(
    type_: str,
    data: Mapping[str, Any],
    at_ms: int,
    *,
    seconds: bool = False,
    instance_id: str = INSTANCE_ID,
) -> Json:
    """The envelope. `timestamp` is milliseconds, or `seconds` as in the examples of Clerk's specification."""
    rng = random.Random(f"{type_}:{data.get('id')}")
    browser, version, machine = rng.choice(_BROWSERS)
    request = {
        "client_ip": _address(rng),
        "user_agent": f"Mozilla/5.0 ({machine}) {browser}/{version}",
    }
    return {
        "data": dict(data),
        "event_attributes": {"http_request": request},
        "instance_id": instance_id,
        "object": "event",
        "timestamp": at_ms // 1000 if seconds else at_ms,
        "type": type_,
    }


def _pictures(person: Persona) -> Json:
    picture = f"https://img.example.com/{person.clerk_id.removeprefix('user_')}"
    return {"image_url": picture, "profile_image_url": picture, "has_image": False}


def _credentials(person: Persona) -> Json:
    by_password = person.email is not None
    return {
        "password_enabled": by_password,
        "password_last_updated_at": person.created_at_ms if by_password else None,
        "two_factor_enabled": False,
        "totp_enabled": False,
        "backup_code_enabled": False,
        "mfa_enabled_at": None,
        "mfa_disabled_at": None,
        "web3_wallets": [],
        "passkeys": [],
        "external_accounts": [],
        "saml_accounts": [],
        "enterprise_accounts": [],
        "organization_memberships": [],
    }


def _standing(banned: bool, locked: bool) -> Json:
    return {
        "banned": banned,
        "locked": locked,
        "lockout_expires_in_seconds": 3600 if locked else None,
        "verification_attempts_remaining": 0 if locked else 100,
        "deprovisioned": False,
        "scim": None,
        "delete_self_enabled": True,
        "create_organization_enabled": True,
        "create_organizations_limit": None,
        "bypass_client_trust": False,
    }


def _activity(person: Persona, last_sign_in_at_ms: int | None) -> Json:
    active = last_sign_in_at_ms or person.created_at_ms
    return {
        "last_sign_in_at": last_sign_in_at_ms,
        "last_active_at": active - active % DAY_MS,
        "legal_accepted_at": person.created_at_ms,
    }


def _email(person: Persona, address: str, *, verified: bool) -> Json:
    return {
        "id": clerk_id(random.Random(f"{person.clerk_id}:{address}"), "idn"),
        "object": "email_address",
        "email_address": address,
        "reserved": False,
        "verification": _verification("email_code", person.created_at_ms, verified=verified),
        "linked_to": [],
        "matches_sso_connection": False,
        "created_at": person.created_at_ms,
        "updated_at": person.created_at_ms,
    }


def _phone(person: Persona, number: str) -> Json:
    return {
        "id": clerk_id(random.Random(f"{person.clerk_id}:{number}"), "idn"),
        "object": "phone_number",
        "phone_number": number,
        "reserved_for_second_factor": False,
        "default_second_factor": False,
        "reserved": False,
        "verification": _verification("phone_code", person.created_at_ms, verified=True),
        "linked_to": [],
        "backup_codes": None,
        "created_at": person.created_at_ms,
        "updated_at": person.created_at_ms,
    }


def _verification(strategy: str, at_ms: int, *, verified: bool) -> Json:
    return {
        "object": "verification_otp",
        "status": "verified" if verified else "unverified",
        "strategy": strategy,
        "attempts": 1 if verified else None,
        "expire_at": at_ms + 600_000,
    }


def _device(rng: random.Random) -> Json:
    browser, version, machine = rng.choice(_BROWSERS)
    return {
        "object": "session_activity",
        "id": clerk_id(rng, "sess_activity"),
        "device_type": machine.partition(";")[0],
        "is_mobile": "iPhone" in machine,
        "browser_name": browser,
        "browser_version": version,
        "ip_address": _address(rng),
        "city": rng.choice(("Lisbon", "Toronto", "Osaka", "Nairobi")),
        "country": rng.choice(("PT", "CA", "JP", "KE")),
    }


def _address(rng: random.Random) -> str:
    return f"192.0.2.{rng.randint(1, 254)}"
