"""The doctor on the road: are Clerk, Slack and Notion reachable, and may we do there what we must?"""

from typing import Any

from db import identities
from db.database import Database
from handlers.clerk.api import ClerkApi
from handlers.notion.api import NotionApi
from handlers.notion.calendar import CURRENT, PAST, TABLES
from handlers.notion.directory import PEOPLE
from handlers.notion.table import Table
from handlers.people.linking import CLERK
from handlers.registry import Gone, Refused, SinkDown
from handlers.slack.api import call, web_client
from service import platforms
from service.cli.doctor.check import Check, failed, off, ok, warning
from service.cli.switches import missing
from service.settings import Settings

SCOPES = ("users:read", "users:read.email", "chat:write", "commands")
CHANNEL_SCOPE = "channels:read"
TOPIC_SCOPES = (CHANNEL_SCOPE, "channels:write.topic")  # with SLACK_ONCALL_CHANNEL
GROUP_SCOPES = ("usergroups:read", "usergroups:write")  # with SLACK_ONCALL_USERGROUP

SETUP = "run `rollcall notion setup --parent PAGE`"
DIRECTORY = "notion database"
DATA_SOURCES = {
    DIRECTORY: ("notion_people_data_source_id", PEOPLE),
    "notion calendar": ("notion_calendar_data_source_id", TABLES[CURRENT]),
    "notion past calendar": ("notion_past_calendar_data_source_id", TABLES[PAST]),
}

DOWN = "if they are right, see the platform's status page"
CLERK_FIX = f"check CLERK_SECRET_KEY (Clerk's API keys page) and CLERK_BASE_URL; {DOWN}"
SLACK_FIX = f"check SLACK_BOT_TOKEN (OAuth & Permissions > Bot User OAuth Token) and SLACK_BASE_URL; {DOWN}"
NOTION_FIX = f"check NOTION_API_TOKEN (the integration's page in Notion) and NOTION_BASE_URL; {DOWN}"


def webhook_checks(settings: Settings) -> list[Check]:
    """Signing secrets cannot be tried out: they are there and well-formed, or their route is off."""
    return [
        _on_or_off("clerk webhooks", settings, "clerk_webhook_signing_secret"),
        _on_or_off("slack events", settings, "slack_signing_secret"),
        _on_or_off("slack commands", settings, "slack_signing_secret", "slack_bot_token"),
    ]


def _on_or_off(name: str, settings: Settings, *needed: str) -> Check:
    why = missing(settings, needed)
    are = "is" if len(needed) == 1 else "are"
    return off(name, why) if why else ok(name, f"{' and '.join(needed).upper()} {are} set")


async def clerk_checks(settings: Settings, database: Database | None) -> list[Check]:
    """The secret key works, and nobody is missing here."""
    if settings.clerk_secret_key is None:
        return [off("clerk key", "CLERK_SECRET_KEY is not set: no import, no reconciling")]
    api = ClerkApi(settings.clerk_secret_key.get_secret_value(), settings.clerk_base_url, _at_once)
    try:
        count = await api.count()
    finally:
        await api.close()
    if database is None:
        return [ok("clerk key", f"works; {count} users")]
    here = sum(one.live for one in await database.read(identities.of_provider, CLERK))
    if here != count:
        found = f"works; Clerk has {count} users, {here} are known here"
        return [warning("clerk key", found, "run `rollcall import clerk`")]
    return [ok("clerk key", f"works; all {count} users are known here")]


async def slack_checks(settings: Settings) -> list[Check]:
    """The token works, has its scopes, and the alert channel takes messages."""
    if settings.slack_bot_token is None:
        return [off("slack token", "SLACK_BOT_TOKEN is not set: no alerts, no import")]
    client = web_client(settings.slack_bot_token.get_secret_value(), settings.slack_base_url)
    answer = await call(client.auth_test())
    granted = {scope.strip() for scope in str(answer.headers.get("x-oauth-scopes") or "").split(",")}
    found = [
        ok("slack token", f"works, in {answer.get('team') or 'the workspace'}"),
        scopes_check(granted, needed_scopes(settings)),
        await channel_check(client, "slack alert channel", settings.slack_alert_channel, granted),
    ]
    if settings.slack_oncall_channel:
        found.append(await channel_check(client, "slack on-call channel", settings.slack_oncall_channel, granted))
    if settings.slack_oncall_usergroup:
        found.append(await group_check(client, settings.slack_oncall_usergroup, granted))
    return found


def needed_scopes(settings: Settings) -> tuple[str, ...]:
    """Some only where a setting asks for what they allow."""
    topic = TOPIC_SCOPES if settings.slack_oncall_channel else ()
    group = GROUP_SCOPES if settings.slack_oncall_usergroup else ()
    return (*SCOPES, *topic, *group)


def scopes_check(granted: set[str], needed: tuple[str, ...]) -> Check:
    lacking = [scope for scope in needed if scope not in granted]
    if lacking:
        fix = "add them under OAuth & Permissions > Bot Token Scopes, and reinstall the app"
        return failed("slack scopes", f"missing: {', '.join(lacking)}", fix)
    return ok("slack scopes", ", ".join(needed))


async def group_check(client: Any, group: str, granted: set[str]) -> Check:
    """Whether it may be changed, only a change would show."""
    name = "slack user group"
    if GROUP_SCOPES[0] not in granted:
        return off(name, f"not looked at: that needs the scope {GROUP_SCOPES[0]}")
    try:
        members = (await call(client.usergroups_users_list(usergroup=group)))["users"]
    except Refused as error:
        return failed(
            name, f"{group}: {error}", "set SLACK_ONCALL_USERGROUP to the group's id (S…), and enable the group"
        )
    return ok(name, f"{group}, {len(members)} members")


async def channel_check(client: Any, name: str, channel: str | None, granted: set[str]) -> Check:
    if channel is None:
        return warning(name, "SLACK_ALERT_CHANNEL is not set: alerts go to the log only", "set it to a channel's id")
    if CHANNEL_SCOPE not in granted:
        return off(name, f"not looked at: that needs the scope {CHANNEL_SCOPE}")
    try:
        found = (await call(client.conversations_info(channel=channel)))["channel"]
    except (SinkDown, Refused) as error:
        if "channel_not_found" not in str(error):
            raise
        fix = "set it to the id (C…) under the channel's details; invite the app if it is private"
        return failed(name, f"{channel} is not found", fix)
    if found.get("is_archived"):
        return failed(name, f"#{found.get('name')} is archived", "choose another channel")
    if found.get("is_member") is False:
        return failed(name, f"the app is not in #{found.get('name')}", "write /invite and the app's name there")
    return ok(name, f"#{found.get('name')}")


async def notion_checks(settings: Settings, database: Database | None) -> list[Check]:
    """The token works, people can be listed with their addresses, the People database fits."""
    if settings.notion_api_token is None:
        return [off("notion token", "NOTION_API_TOKEN is not set")]
    if database is None:
        return [off("notion token", "not tried: that needs the database, which holds the rate limit")]
    api = platforms.notion_api(settings, database, patient=True)
    try:
        me = await api.me()
        workspace = (me.get("bot") or {}).get("workspace_name") or "the workspace"
        token = ok("notion token", f"works, in {workspace}")
        return [token, await users_check(api), *await data_source_checks(api, settings)]
    finally:
        await api.close()


async def users_check(api: NotionApi) -> Check:
    name = "notion users"
    fix = "in the integration's capabilities choose: read user information including email addresses"
    try:
        people = [user for user in await api.users() if user.get("type") == "person"]
    except (SinkDown, Refused) as error:
        if "403" not in str(error):
            raise
        return failed(name, "the list of users may not be read", fix)
    seen = sum(bool((user.get("person") or {}).get("email")) for user in people)
    if people and not seen:
        return warning(name, f"{len(people)} people, but no address may be read: nobody can be linked", fix)
    return ok(name, f"{len(people)} people, {seen} with an address")


async def data_source_checks(api: NotionApi, settings: Settings) -> list[Check]:
    """S2.12: a mismatch is named, difference by difference."""
    return [
        await data_source_check(api, name, setting, settings, table)
        if getattr(settings, setting)
        else _no_data_source(name, setting, half=_half(settings))
        for name, (setting, table) in DATA_SOURCES.items()
    ]


def _half(settings: Settings) -> bool:
    """One calendar alone is none."""
    return bool(settings.notion_calendar_data_source_id) != bool(settings.notion_past_calendar_data_source_id)


def _no_data_source(name: str, setting: str, *, half: bool) -> Check:
    found = f"{setting.upper()} is not set: no pages are written"
    if name == DIRECTORY:
        return warning(name, found, SETUP)
    if half:
        return failed(name, f"{found}, for the calendar needs both", SETUP)
    return off(name, f"{found}; {SETUP}")


async def data_source_check(api: NotionApi, name: str, setting: str, settings: Settings, table: Table) -> Check:
    try:
        source = await api.data_source(getattr(settings, setting))
    except Gone:
        fix = "share the database with the integration (…, Connections), or make one with `rollcall notion setup`"
        return failed(name, "it does not exist, or is not shared with the integration", fix)
    differences = table.differences(source.get("properties") or {})
    if differences:
        return failed(name, "; ".join(differences), "run `rollcall notion setup --fix`; change types in Notion")
    return ok(name, "its properties fit")


async def _at_once() -> None:
    """One request needs no rate limit."""
