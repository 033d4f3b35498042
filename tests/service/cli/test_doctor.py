"""`rollcall doctor`: each thing that can be wrong is found, named, and comes with a fix; nothing private is told."""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import Result

from db import inbox, limits, outbox
from db.database import transaction
from handlers.notion.calendar import CURRENT, PAST, TABLES
from handlers.notion.directory import PEOPLE
from handlers.notion.table import Table
from service.clock import now_ms
from service.sandbox import World, running_in_thread
from service.sandbox.people import personas
from tests.service.cli.conftest import Rollcall, said
from tests.service.web import CLERK_SECRET

Doctor = Callable[..., dict[str, dict[str, Any]]]
FAULTS = ({"status": 503}, {"status": 429, "retry_after": 7}, {"kind": "html"}, {"kind": "drop"})
CHECKED = (
    "settings",
    "database",
    "migrations",
    "clerk webhooks",
    "slack events",
    "slack commands",
    "clerk key",
    "slack token",
    "slack scopes",
    "slack alert channel",
    "notion token",
    "notion users",
    "notion database",
    "notion calendar",
    "notion past calendar",
    "coverage",
    "notion delivery",
    "slack delivery",
    "actions",
    "events",
    "on-call rotations",
)


@pytest.fixture
def world() -> Iterator[World]:
    world = World(seed=5)
    for person in personas(random.Random(2), 4, now_ms=1_790_000_000_000):
        world.admit(person)
    with running_in_thread(world):
        yield world


@pytest.fixture
def environment(world: World) -> dict[str, str]:
    """Everything configured, and right."""
    return {
        "CLERK_WEBHOOK_SIGNING_SECRET": CLERK_SECRET,
        "CLERK_SECRET_KEY": world.clerk.secret_key,
        "CLERK_BASE_URL": world.clerk_url,
        "SLACK_SIGNING_SECRET": world.slack.signing_secret,
        "SLACK_BOT_TOKEN": world.slack.token,
        "SLACK_ALERT_CHANNEL": world.slack.add_channel("ops"),
        "SLACK_BASE_URL": world.slack_url,
        "NOTION_API_TOKEN": world.notion.token,
        "NOTION_BASE_URL": world.notion_url,
        "NOTION_PEOPLE_DATA_SOURCE_ID": _data_source(world, PEOPLE),
        "NOTION_CALENDAR_DATA_SOURCE_ID": _data_source(world, TABLES[CURRENT]),
        "NOTION_PAST_CALENDAR_DATA_SOURCE_ID": _data_source(world, TABLES[PAST]),
        "NOTION_REQUESTS_PER_SECOND": "0",
    }


def _data_source(world: World, table: Table) -> str:
    headers = {"Authorization": f"Bearer {world.notion.token}", "Notion-Version": "2025-09-03"}
    body = {
        "parent": {"type": "page_id", "page_id": world.notion.parent_page_id},
        "title": [{"text": {"content": table.title}}],
        "initial_data_source": {"properties": table.wanted_properties()},
    }
    answer = httpx.post(f"{world.notion_url}/v1/databases", headers=headers, json=body)
    return str(answer.json()["data_sources"][0]["id"])


@pytest.fixture
def doctor(rollcall: Rollcall, environment: dict[str, str]) -> Doctor:
    """Runs the doctor, with some of the environment changed; gives its checks by name, and `_code`."""

    def run(**changed: str) -> dict[str, dict[str, Any]]:
        ended = rollcall("doctor", "--json", **{**environment, **changed})
        report = said(ended)
        discreet(ended, environment)
        assert (ended.exit_code == 1) == (report["status"] == "failed")
        for one in report["checks"]:
            assert one["fix"] or one["level"] in ("ok", "off"), one
        return {one["name"]: one for one in report["checks"]}

    return run


def discreet(ended: Result, environment: dict[str, str]) -> None:
    """No secret, no address, no traceback, whatever went wrong."""
    for name, value in environment.items():
        if name.endswith(("SECRET", "TOKEN", "KEY")):
            assert value not in ended.output
    assert not re.search(r"[a-z]@[a-z]", ended.output)
    assert "Traceback" not in ended.output


def test_a_complete_installation_is_examined_completely(rollcall: Rollcall, environment: dict[str, str]) -> None:
    rollcall("import", "clerk", **environment)
    rollcall("import", "slack", **environment)
    ended = rollcall("doctor", "--json", **environment)
    checks = said(ended)["checks"]
    assert tuple(one["name"] for one in checks) == CHECKED
    assert ended.exit_code == 0, ended.stdout
    others = {one["name"]: one["level"] for one in checks if one["level"] != "ok"}
    assert others == {"coverage": "warning", "on-call rotations": "off"}


def test_the_table_says_what_to_do(rollcall: Rollcall, environment: dict[str, str]) -> None:
    ended = rollcall("doctor", **environment)
    assert "run `rollcall import clerk`" in ended.stdout
    assert re.search(r"\d+ ok, \d warning", ended.stderr)


def test_what_is_not_configured_is_off_not_wrong(rollcall: Rollcall) -> None:
    ended = rollcall("doctor", "--json")
    levels = {one["name"]: one["level"] for one in said(ended)["checks"]}
    assert ended.exit_code == 0
    for name in ("clerk webhooks", "slack events", "clerk key", "slack token", "notion token", "coverage"):
        assert levels[name] == "off"


def test_every_wrong_setting_is_listed(rollcall: Rollcall) -> None:
    ended = rollcall("doctor", "--json", PORT="many", ADMIN_EMAILS="nobody", NOTION_BASE_URL="x")
    checks = said(ended)["checks"]
    assert ended.exit_code == 1
    assert {one["found"].split()[0] for one in checks} == {"PORT", "ADMIN_EMAILS", "NOTION_BASE_URL"}
    assert {one["name"] for one in checks} == {"settings"}


def test_a_missing_database_leaves_the_platforms_examined(doctor: Doctor, folder: Path) -> None:
    checks = doctor(DATABASE_URL="sqlite:///nowhere.db")
    assert checks["database"]["level"] == "failed"
    assert checks["clerk key"]["level"] == checks["slack token"]["level"] == "ok"
    assert not (folder / "nowhere.db").exists()


def test_a_database_that_is_behind_says_migrate(doctor: Doctor, folder: Path) -> None:
    (folder / "empty.db").touch()
    assert doctor(DATABASE_URL="sqlite:///empty.db")["migrations"]["fix"] == "run `rollcall migrate`"


def test_a_file_that_is_no_database_fails(doctor: Doctor, folder: Path) -> None:
    (folder / "other.db").write_bytes(b"no database at all" * 500)
    assert doctor(DATABASE_URL="sqlite:///other.db")["database"]["level"] == "failed"


@pytest.mark.parametrize(
    ("setting", "value", "check"),
    [
        ("CLERK_SECRET_KEY", "sk_test_wrong", "clerk key"),
        ("SLACK_BOT_TOKEN", "xoxb-wrong", "slack token"),
        ("NOTION_API_TOKEN", "ntn_wrong", "notion token"),
        ("CLERK_BASE_URL", "http://127.0.0.1:9", "clerk key"),
        ("SLACK_BASE_URL", "http://127.0.0.1:9", "slack token"),
        ("NOTION_BASE_URL", "http://127.0.0.1:9", "notion token"),
    ],
)
def test_a_wrong_credential_or_address_fails(doctor: Doctor, setting: str, value: str, check: str) -> None:
    checks = doctor(**{setting: value})
    assert checks[check]["level"] == "failed"
    assert setting in checks[check]["fix"]


@pytest.mark.parametrize("platform", ["clerk", "slack", "notion"])
@pytest.mark.parametrize("how", FAULTS, ids=str)
def test_a_platform_that_fails_is_a_failed_check(
    doctor: Doctor, world: World, platform: str, how: dict[str, Any]
) -> None:
    world.faults.add(platform=platform, times=None, **how)
    name = "clerk key" if platform == "clerk" else f"{platform} token"
    checks = doctor()
    assert checks[name]["level"] == "failed"
    assert "unexpected:" not in checks[name]["found"]


def test_users_missing_here_are_a_warning(doctor: Doctor) -> None:
    found = doctor()["clerk key"]
    assert (found["level"], found["fix"]) == ("warning", "run `rollcall import clerk`")
    assert "Clerk has 4 users, 0 are known here" in found["found"]


@pytest.mark.parametrize("scope", ["users:read", "users:read.email", "chat:write", "commands"])
def test_a_missing_scope_is_named(doctor: Doctor, world: World, scope: str) -> None:
    world.slack.scopes.discard(scope)
    found = doctor()["slack scopes"]
    assert (found["level"], found["found"]) == ("failed", f"missing: {scope}")


def test_the_alert_channel_is_looked_at_where_that_is_allowed(doctor: Doctor, world: World) -> None:
    outside, old = world.slack.add_channel("quiet", member=False), world.slack.add_channel("old", archived=True)
    assert "not in #quiet" in doctor(SLACK_ALERT_CHANNEL=outside)["slack alert channel"]["found"]
    assert "archived" in doctor(SLACK_ALERT_CHANNEL=old)["slack alert channel"]["found"]
    assert "not found" in doctor(SLACK_ALERT_CHANNEL="C0NOWHERE")["slack alert channel"]["found"]
    assert doctor(SLACK_ALERT_CHANNEL="")["slack alert channel"]["level"] == "warning"
    world.slack.scopes.discard("channels:read")
    assert doctor()["slack alert channel"]["level"] == "off"


def test_notion_capabilities_are_looked_at(doctor: Doctor, world: World) -> None:
    world.notion.capabilities.read_emails = False
    assert doctor()["notion users"]["level"] == "warning"
    world.notion.capabilities.read_users = False
    assert doctor()["notion users"]["level"] == "failed"


def test_a_schema_that_drifted_is_named(doctor: Doctor, world: World, environment: dict[str, str]) -> None:
    source = world.notion.store.data_sources[environment["NOTION_PEOPLE_DATA_SOURCE_ID"]]
    world.notion.unshare(source.id)
    assert "not shared" in doctor()["notion database"]["found"]
    other = _smaller(world)
    assert "'E-mail' is missing" in doctor(NOTION_PEOPLE_DATA_SOURCE_ID=other)["notion database"]["found"]
    assert doctor(NOTION_PEOPLE_DATA_SOURCE_ID="")["notion database"]["level"] == "warning"


def _smaller(world: World) -> str:
    headers = {"Authorization": f"Bearer {world.notion.token}", "Notion-Version": "2025-09-03"}
    body = {
        "parent": {"type": "page_id", "page_id": world.notion.parent_page_id},
        "initial_data_source": {"properties": {"Name": {"title": {}}}},
    }
    answer = httpx.post(f"{world.notion_url}/v1/databases", headers=headers, json=body)
    return str(answer.json()["data_sources"][0]["id"])


def test_what_lies_in_the_database_and_needs_somebody_is_found(doctor: Doctor, database_url: str) -> None:
    now = now_ms()
    with transaction(database_url) as tx:
        inbox.add(tx, "clerk", "msg_a", "user.created", b"{}", now)
        event = inbox.find(tx, "clerk", "msg_a")
        assert event is not None
        inbox.fail(tx, event, "broken by ada@example.com", now)
        outbox.mark(tx, 1, ("notion",), "person:1", now)
        (claim,) = outbox.claim(tx, "notion", "token", now, 1)
        outbox.settle(tx, claim, now, status="dead")
        limits.switch_off(tx, "slack", "the bot token was revoked")
        for _ in range(limits.ALERT_AT):
            limits.pause(tx, "notion", "Notion 503: mail ada@example.com", now)
    checks = doctor()
    for name in ("events", "actions", "slack delivery", "notion delivery"):
        assert checks[name]["level"] == "failed", name
    assert "(address)" in checks["notion delivery"]["found"]


def test_marks_nobody_delivers_are_a_warning(doctor: Doctor, database_url: str) -> None:
    with transaction(database_url) as tx:
        outbox.mark(tx, 1, ("notion",), "person:1", now_ms() - 600_000)
        limits.pause(tx, "notion", "Notion 503", now_ms())
    checks = doctor()
    assert "rollcall serve" in checks["actions"]["fix"]
    assert checks["notion delivery"]["level"] == "warning"


@pytest.mark.parametrize("setting", ["NOTION_CALENDAR_DATA_SOURCE_ID", "NOTION_PAST_CALENDAR_DATA_SOURCE_ID"])
def test_one_calendar_alone_is_none(doctor: Doctor, setting: str) -> None:
    found = [one for one in doctor(**{setting: ""}).values() if setting in one["found"]]
    assert [(one["level"], one["found"]) for one in found] == [
        ("failed", f"{setting} is not set: no pages are written, for the calendar needs both")
    ]


SHOWN = {"SLACK_ONCALL_CHANNEL": "slack on-call channel", "SLACK_ONCALL_USERGROUP": "slack user group"}


def test_where_it_is_shown_who_is_on_call_is_looked_at(doctor: Doctor, world: World) -> None:
    channel, group = world.slack.add_channel("oncall"), world.slack.add_usergroup("U1", "U2")
    found = doctor(SLACK_ONCALL_CHANNEL=channel, SLACK_ONCALL_USERGROUP=group)
    assert [found[name]["found"] for name in SHOWN.values()] == ["#oncall", f"{group}, 2 members"]
    assert "usergroups:write" in found["slack scopes"]["found"]
    wrong = doctor(SLACK_ONCALL_CHANNEL="C0NOWHERE", SLACK_ONCALL_USERGROUP="S0NOWHERE")
    assert [wrong[name]["level"] for name in SHOWN.values()] == ["failed", "failed"]
    assert "SLACK_ONCALL_USERGROUP" in wrong["slack user group"]["fix"]


@pytest.mark.parametrize("scope", ["channels:write.topic", "usergroups:read", "usergroups:write"])
def test_a_scope_is_missed_only_where_a_setting_needs_it(doctor: Doctor, world: World, scope: str) -> None:
    channel, group = world.slack.add_channel("oncall"), world.slack.add_usergroup("U1")
    world.slack.scopes.discard(scope)
    assert doctor()["slack scopes"]["level"] == "ok"
    found = doctor(SLACK_ONCALL_CHANNEL=channel, SLACK_ONCALL_USERGROUP=group)["slack scopes"]
    assert (found["level"], found["found"]) == ("failed", f"missing: {scope}")


@pytest.mark.parametrize("setting", ["SLACK_SIGNING_SECRET", "SLACK_BOT_TOKEN"])
def test_commands_need_the_secret_and_the_token(doctor: Doctor, setting: str) -> None:
    found = doctor(**{setting: ""})["slack commands"]
    assert (found["level"], found["found"]) == ("off", f"{setting} is not set")
