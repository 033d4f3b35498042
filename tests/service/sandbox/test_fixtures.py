"""The recorded payloads are whole: one with only the fields we read would prove what we believe already."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from service.sandbox import people
from service.sandbox.personas import Persona


def words(text: str) -> set[str]:
    return set(text.split())


FIXTURES = Path(__file__).parents[2] / "fixtures"
EVENTS = {
    "clerk": words(
        """
        user.created user.updated user.deleted session.created session.ended session.removed session.revoked
        """
    ),
    "slack": words(
        "team_join user_change tokens_revoked app_uninstalled app_rate_limited app_home_opened url_verification"
    ),
}
EDGES = {
    "clerk": words(
        """
        null_names phone_only dangling_primary_address primary_not_first unverified_address null_verification
        envelope_timestamp_in_seconds deleted_without_id unknown_extra_fields username_only empty_image_url
        banned locked session_without_user unhandled_type
        """
    ),
    "slack": words("deactivated forgotten bot foreign_team stranger unconfirmed_email missing_email empty_profile"),
}
CLERK_ENVELOPE = words("data event_attributes instance_id object timestamp type")
CLERK_USER = words(
    """
    id object external_id username first_name last_name primary_email_address_id primary_phone_number_id
    primary_web3_wallet_id locale image_url profile_image_url has_image password_enabled two_factor_enabled
    totp_enabled backup_code_enabled banned locked deprovisioned delete_self_enabled
    create_organization_enabled bypass_client_trust public_metadata private_metadata unsafe_metadata scim
    email_addresses phone_numbers web3_wallets passkeys external_accounts saml_accounts enterprise_accounts
    organization_memberships created_at updated_at last_sign_in_at last_active_at mfa_enabled_at
    mfa_disabled_at password_last_updated_at legal_accepted_at lockout_expires_in_seconds
    verification_attempts_remaining create_organizations_limit
    """
)
CLERK_EMAIL = words(
    "id object email_address reserved verification linked_to matches_sso_connection created_at updated_at"
)
CLERK_SESSION = words(
    """
    id object user_id client_id actor status last_active_organization_id last_active_at latest_activity
    expire_at abandon_at created_at updated_at user
    """
)
SLACK_ENVELOPE = words(
    """
    token team_id enterprise_id api_app_id type event event_id event_time event_context authorizations
    is_ext_shared_channel
    """
)
SLACK_USER = words(
    """
    id team_id name deleted real_name tz tz_label tz_offset profile is_bot is_app_user is_restricted
    is_ultra_restricted is_stranger is_invited_user is_email_confirmed updated color is_admin is_owner
    is_primary_owner has_2fa
    """
)
SLACK_PROFILE = words(
    """
    real_name display_name email title phone first_name last_name status_text status_emoji status_expiration
    avatar_hash image_24 image_32 image_48 image_72 image_192 image_512 team
    """
)
DROPPED_WHEN_DEACTIVATED = words(
    """
    real_name tz tz_label tz_offset is_admin is_owner is_primary_owner is_restricted is_ultra_restricted
    is_email_confirmed color has_2fa
    """
)
SENT_BARE = {"slack/url_verification", "slack/app_rate_limited"}


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def clerk_edge(name: str) -> dict[str, Any]:
    data: dict[str, Any] = load(f"clerk/edge/{name}")["data"]
    return data


def slack_edge(name: str) -> dict[str, Any]:
    user: dict[str, Any] = load(f"slack/edge/{name}")["event"]["user"]
    return user


def every(platform: str) -> list[str]:
    paths = sorted((FIXTURES / platform).rglob("*.json"))
    return [str(path.relative_to(FIXTURES).with_suffix("")) for path in paths]


@pytest.mark.parametrize("platform", ["clerk", "slack"])
def test_every_event_and_edge_is_recorded(platform: str) -> None:
    wanted = {f"{platform}/{name}" for name in EVENTS[platform]}
    wanted |= {f"{platform}/edge/{name}" for name in EDGES[platform]}
    assert set(every(platform)) >= wanted


@pytest.mark.parametrize("name", [f"clerk/{name}" for name in sorted(EVENTS["clerk"])])
def test_a_clerk_file_is_named_after_its_event(name: str) -> None:
    message = load(name)
    assert message["type"] == name.removeprefix("clerk/")
    assert set(message) == CLERK_ENVELOPE
    assert message["object"] == "event"
    assert message["timestamp"] > 10**11


@pytest.mark.parametrize("name", every("clerk"))
def test_a_clerk_user_has_every_field(name: str) -> None:
    message = load(name)
    data = message["data"]
    if message["type"].startswith("session."):
        assert set(data) == CLERK_SESSION
        data = data["user"] or {}
    if data.get("object") == "user" and "deleted" not in data:
        assert set(data) >= CLERK_USER
        assert all(set(address) >= CLERK_EMAIL for address in data["email_addresses"])


@pytest.mark.parametrize("name", [name for name in every("slack") if name not in SENT_BARE])
def test_a_slack_event_has_the_whole_envelope(name: str) -> None:
    message = load(name)
    assert set(message) == SLACK_ENVELOPE
    event = message["event"]
    assert "event_ts" in event
    assert "/edge/" in name or event["type"] == name.removeprefix("slack/")


@pytest.mark.parametrize("name", ["team_join", "user_change"])
def test_a_slack_user_has_every_field(name: str) -> None:
    event = load(f"slack/{name}")["event"]
    assert set(event) == {"type", "user", "cache_ts", "event_ts"}
    assert set(event["user"]) >= SLACK_USER
    assert set(event["user"]["profile"]) >= SLACK_PROFILE


def test_slacks_own_messages_stand_at_the_top_level() -> None:
    assert set(load("slack/url_verification")) == {"token", "challenge", "type"}
    limited = load("slack/app_rate_limited")
    assert limited["type"] == "app_rate_limited"
    assert set(limited) == {"token", "type", "team_id", "minute_rate_limited", "api_app_id"}
    assert set(load("slack/tokens_revoked")["event"]["tokens"]) == {"oauth", "bot"}
    assert set(load("slack/app_uninstalled")["event"]) == {"type", "event_ts"}


def test_the_clerk_edges_are_what_their_names_say() -> None:
    assert (clerk_edge("null_names")["first_name"], clerk_edge("null_names")["last_name"]) == (None, None)
    for name in ("phone_only", "username_only"):
        assert clerk_edge(name)["email_addresses"] == []
        assert clerk_edge(name)["primary_email_address_id"] is None
    assert clerk_edge("phone_only")["phone_numbers"]
    assert clerk_edge("username_only")["username"]
    dangling = clerk_edge("dangling_primary_address")
    assert dangling["primary_email_address_id"]
    assert not dangling["email_addresses"]
    second = clerk_edge("primary_not_first")
    assert second["email_addresses"][1]["id"] == second["primary_email_address_id"]
    assert clerk_edge("unverified_address")["email_addresses"][0]["verification"]["status"] == "unverified"
    assert clerk_edge("null_verification")["email_addresses"][0]["verification"] is None
    assert clerk_edge("empty_image_url")["image_url"] == ""
    assert clerk_edge("banned")["banned"]
    assert clerk_edge("locked")["locked"]
    assert clerk_edge("session_without_user")["user"] is None
    assert set(clerk_edge("unknown_extra_fields")) > CLERK_USER
    assert "id" not in clerk_edge("deleted_without_id")
    assert load("clerk/edge/envelope_timestamp_in_seconds")["timestamp"] < 10**11


def test_the_slack_edges_are_what_their_names_say() -> None:
    for name in ("deactivated", "forgotten"):
        assert slack_edge(name)["deleted"] is True
        assert DROPPED_WHEN_DEACTIVATED.isdisjoint(slack_edge(name))
    assert slack_edge("deactivated")["profile"]["email"]
    assert slack_edge("forgotten")["is_forgotten"] is True
    assert "email" not in slack_edge("forgotten")["profile"]
    assert slack_edge("bot")["is_bot"]
    foreign = load("slack/edge/foreign_team")
    assert foreign["team_id"] != foreign["event"]["user"]["team_id"]
    assert "deleted" not in foreign["event"]["user"]
    assert slack_edge("stranger")["is_stranger"]
    assert slack_edge("unconfirmed_email")["is_email_confirmed"] is False
    assert "email" not in slack_edge("missing_email")["profile"]
    assert {None, ""} <= {slack_edge("empty_profile")["profile"][key] for key in SLACK_PROFILE}


def test_built_objects_are_as_whole_as_recorded_ones() -> None:
    person = Persona(
        clerk_id="user_1",
        slack_id="U01",
        notion_id="0c0d52a1-93be-4f0e-a8d4-1f6b2c9e5d30",
        first="Ada",
        last="Marsh",
        handle="ada.marsh",
        email="ada.marsh@example.com",
        phone="+12025550100",
        title="Engineer",
        tz="Europe/London",
        locale="en-GB",
        created_at_ms=1_788_160_212_345,
    )
    user = people.clerk_user(person)
    assert set(user) == CLERK_USER
    assert set(people.clerk_session(user, "sess_1", 1)) == CLERK_SESSION
    assert set(people.clerk_event("user.created", user, 1)) == CLERK_ENVELOPE
    member = people.slack_user(person, updated_s=1)
    assert set(member) >= SLACK_USER
    assert set(member["profile"]) >= SLACK_PROFILE
    assert set(people.slack_event("team_join", {"user": member}, "Ev01", "T01", 1)) == SLACK_ENVELOPE
    assert people.notion_user(person)["person"] == {"email": "ada.marsh@example.com"}


def test_nobody_real_is_written_to() -> None:
    for name in (*every("clerk"), *every("slack")):
        text = (FIXTURES / f"{name}.json").read_text(encoding="utf-8")
        for domain in re.findall(r"(?:@|https?://)([\w.-]+)", text):
            assert re.search(r"(^|\.)example\.(com|org|net)$", domain), domain
