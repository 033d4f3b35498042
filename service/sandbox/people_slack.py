"""What Slack says of a persona: whole users (active, deactivated, foreign, bot) and event envelopes."""

import random
from collections.abc import Mapping
from typing import Any

from service.sandbox.personas import Persona, slack_id

Json = dict[str, Any]

TEAM_ID = "T0ROLLCALL1"
FOREIGN_TEAM_ID = "T0PARTNERS9"
APP_ID = "A0ROLLCALL1"
BOT_USER_ID = "U0ROLLCALLB"

# Fixed offsets in seconds: the sandbox needs no time zone database, and Slack sends no event when they shift.
_ZONES = {
    "Africa/Cairo": ("Eastern European Time", 7200),
    "Africa/Lagos": ("West Africa Time", 3600),
    "America/Los_Angeles": ("Pacific Standard Time", -28800),
    "America/New_York": ("Eastern Standard Time", -18000),
    "America/Sao_Paulo": ("Brasilia Time", -10800),
    "Asia/Ho_Chi_Minh": ("Indochina Time", 25200),
    "Asia/Jakarta": ("Western Indonesia Time", 25200),
    "Asia/Kolkata": ("India Standard Time", 19800),
    "Asia/Shanghai": ("China Standard Time", 28800),
    "Asia/Tokyo": ("Japan Standard Time", 32400),
    "Europe/Berlin": ("Central European Time", 3600),
    "Europe/Kyiv": ("Eastern European Time", 7200),
    "Europe/London": ("Greenwich Mean Time", 0),
    "Europe/Madrid": ("Central European Time", 3600),
    "Europe/Oslo": ("Central European Time", 3600),
    "Europe/Paris": ("Central European Time", 3600),
    "Europe/Warsaw": ("Central European Time", 3600),
}
# Measured on a live workspace: brekkylab/backlot issue 258. `profile` stays, `is_email_confirmed` does not.
_DROPPED_WHEN_DEACTIVATED = (
    "color",
    "real_name",
    "tz",
    "tz_label",
    "tz_offset",
    "is_admin",
    "is_owner",
    "is_primary_owner",
    "is_restricted",
    "is_ultra_restricted",
    "is_email_confirmed",
    "is_stranger",
    "is_invited_user",
    "has_2fa",
    "who_can_share_contact_card",
    "locale",
)


def slack_user(
    person: Persona,
    *,
    updated_s: int,
    team_id: str = TEAM_ID,
    confirmed: bool = True,
    admin: bool = False,
    status_text: str = "",
    status_emoji: str = "",
) -> Json:
    """A member as `users.list`, `team_join` and `user_change` give them (with the scope users:read.email)."""
    zone, offset = _ZONES.get(person.tz, ("Coordinated Universal Time", 0))
    return {
        "id": person.slack_id,
        "team_id": team_id,
        "name": person.handle,
        "deleted": False,
        "color": random.Random(person.slack_id).choice(("9f69e7", "4bbe2e", "e7392d", "3c989f")),
        "real_name": person.name,
        "tz": person.tz,
        "tz_label": zone,
        "tz_offset": offset,
        "profile": _profile(person, team_id) | {"status_text": status_text, "status_emoji": status_emoji},
        "is_admin": admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": False,
        "is_ultra_restricted": False,
        "is_bot": False,
        "is_app_user": False,
        "is_stranger": False,
        "is_invited_user": False,
        "updated": updated_s,
        "is_email_confirmed": confirmed,
        "has_2fa": False,
        "who_can_share_contact_card": "EVERYONE",
        "locale": person.locale,
    }


def slack_deactivated(user: Mapping[str, Any], updated_s: int) -> Json:
    """The same member after deactivation: the profile stays, most flags are absent rather than false."""
    kept = {key: value for key, value in user.items() if key not in _DROPPED_WHEN_DEACTIVATED}
    kept["profile"] = {k: v for k, v in user["profile"].items() if k != "huddle_state_expiration_ts"}
    return kept | {"deleted": True, "updated": updated_s}


def slack_foreign(person: Persona, *, updated_s: int, team_id: str = FOREIGN_TEAM_ID) -> Json:
    """A member of another company in a shared channel: another team, a stranger, `deleted` not said."""
    user = slack_user(person, updated_s=updated_s, team_id=team_id) | {"is_stranger": True}
    del user["deleted"]
    return user


def slack_bot(person: Persona, *, updated_s: int, team_id: str = TEAM_ID) -> Json:
    """A bot user, which joins and changes through the same events as people do, without an address."""
    user = slack_user(person, updated_s=updated_s, team_id=team_id, confirmed=False) | {"is_bot": True}
    rng = random.Random(person.slack_id)
    user["profile"] |= {"bot_id": slack_id(rng, "B"), "api_app_id": slack_id(rng, "A"), "always_active": True}
    user["profile"].pop("email", None)
    return user


def slack_event(
    type_: str,
    event: Mapping[str, Any],
    event_id: str,
    team_id: str = TEAM_ID,
    at: int = 0,
) -> Json:
    """The `event_callback` envelope, sent at `at` (s); `event` is what the type carries, as `{"user": …}`."""
    stamp = f"{at}.{random.Random(event_id).randrange(10**6):06d}"
    authorization = {
        "enterprise_id": None,
        "team_id": team_id,
        "user_id": BOT_USER_ID,
        "is_bot": True,
        "is_enterprise_install": False,
    }
    cached = {"cache_ts": at} if "user" in event else {}
    return {
        "token": "sandbox-verification-token",
        "team_id": team_id,
        "enterprise_id": None,
        "api_app_id": APP_ID,
        "event": {"type": type_, **event, **cached, "event_ts": stamp},
        "type": "event_callback",
        "event_id": event_id,
        "event_time": at,
        "authorizations": [authorization],
        "is_ext_shared_channel": False,
        "event_context": f"4-{random.Random(event_id).getrandbits(160):040x}",
    }


def _profile(person: Persona, team_id: str) -> Json:
    avatar = f"{random.Random(person.slack_id).getrandbits(48):012x}"
    address = {"email": person.email} if person.email else {}
    images = {
        f"image_{size}": f"https://avatars.example.com/{avatar}-{size}.png" for size in (24, 32, 48, 72, 192, 512)
    }
    return {
        "title": person.title,
        "phone": person.phone or "",
        "skype": "",
        "real_name": person.name,
        "real_name_normalized": person.name,
        "display_name": person.handle,
        "display_name_normalized": person.handle,
        "fields": None,
        "status_text": "",
        "status_text_canonical": "",
        "status_emoji": "",
        "status_emoji_display_info": [],
        "status_expiration": 0,
        "avatar_hash": f"g{avatar[:11]}",
        "huddle_state": "default_unset",
        "huddle_state_expiration_ts": 0,
        "first_name": person.first,
        "last_name": person.last,
        **address,
        **images,
        "team": team_id,
    }
