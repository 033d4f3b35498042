"""The web process: its routes and what else is asked of them, which platforms are on, and what a start makes due."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

import migrations
from db.database import Database, Unavailable
from db.identities import Identity
from handlers.people.recording import record, version
from handlers.registry import Context
from service.app import create_app
from service.settings import Settings
from tests.service.web import SINKS, Serve, Web, fixture

MAREN = "user_3YQ0HmwguACCzm0IQlpj2blcZzl"
EMAIL = "maren.holm@example.com"
WEBHOOKS = ("/webhooks/clerk", "/slack/events")


def is_plain_json(answer: httpx.Response) -> bool:
    return answer.headers["content-type"] == "application/json" and "Traceback" not in answer.text


@pytest.mark.parametrize("path", WEBHOOKS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_a_webhook_route_takes_posts_only(web: Web, method: str, path: str) -> None:
    answer = await web.client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (405, "rejected")
    assert answer.headers["Allow"] == "POST"
    assert is_plain_json(answer)


@pytest.mark.parametrize("path", ["/", "/webhooks", "/webhooks/clerk/", "/slack/events/", "/.env", "/%00"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_path_is_not_found(web: Web, method: str, path: str) -> None:
    answer = await web.client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (404, "rejected")
    assert is_plain_json(answer)


@pytest.mark.parametrize(
    ("secret", "path"), [("clerk_webhook_signing_secret", WEBHOOKS[0]), ("slack_signing_secret", WEBHOOKS[1])]
)
async def test_a_platform_without_its_secret_is_not_found(serve: Serve, secret: str, path: str) -> None:
    async with serve(**{secret: ""}) as web:
        answer = await web.client.post(path, content=b"{}")
        assert (answer.status_code, is_plain_json(answer)) == (404, True)
        (other,) = set(WEBHOOKS) - {path}
        assert (await web.client.post(other, content=b"{}")).status_code == 401


async def test_an_error_of_ours_is_said_without_its_insides(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_args: Any) -> None:
        raise RuntimeError("an inside")

    monkeypatch.setattr(Database, "write", failing)
    answer = await web.send("clerk", fixture("clerk/user.created"))
    assert answer.status_code == 500
    assert is_plain_json(answer)
    assert "inside" not in answer.text


async def test_the_process_says_that_it_lives_and_that_it_is_ready(web: Web) -> None:
    assert (await web.client.get("/healthz")).json() == {"status": "ok"}
    ready = await web.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")


async def test_failed_events_are_ill_health_but_no_unreadiness(web: Web) -> None:
    await web.send("clerk", b"{}")
    ready = await web.client.get("/readyz")
    assert (ready.status_code, ready.json()["status"], ready.json()["failed_events"]) == (200, "degraded", 1)


async def test_a_database_that_cannot_be_written_is_unreadiness(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refusing(*_args: Any) -> None:
        raise Unavailable("/secret/path/rollcall.db is full")

    monkeypatch.setattr(Database, "write", refusing)
    ready = await web.client.get("/readyz")
    assert ready.status_code == 503
    assert "secret" not in ready.text


async def test_health_names_nobody(serve: Serve) -> None:
    async with serve(**SINKS) as web:
        await web.clerk(fixture("clerk/user.created"))
        await web.slack(fixture("slack/tokens_revoked"))
        ready = await web.client.get("/readyz")
        assert ready.json()["paused_sinks"] == {"slack": "the bot token was revoked"}
        assert "@" not in ready.text
        assert MAREN not in ready.text


async def test_a_database_behind_the_migrations_stops_the_start(serve: Serve, database_url: str) -> None:
    migrations.downgrade(database_url)
    with pytest.raises(migrations.NotMigrated, match="rollcall migrate"):
        async with serve():
            pass


def test_the_application_is_built_without_touching_the_database(no_environment: None) -> None:
    app = create_app(Settings(_env_file=None, database_url="sqlite:////nowhere/rollcall.db"))
    assert {getattr(route, "path", "") for route in app.routes} == {"/healthz", "/readyz", "/oncall/{token}.ics"}


# --- who is an administrator ---


async def test_admin_emails_make_administrators_of_verified_addresses_only(serve: Serve) -> None:
    async with serve(admin_emails=f"{EMAIL.upper()}, nobody@example.com") as web:
        await web.clerk(fixture("clerk/user.created"))
        assert web.person(MAREN)["role"] == "admin"
    unverified = fixture("clerk/edge/unverified_address")
    address = unverified["data"]["email_addresses"][0]["email_address"]
    async with serve(admin_emails=address) as web:
        await web.clerk(unverified)
        person = web.person(unverified["data"]["id"])
        assert (person["email"], person["role"]) == (address, "member")


async def test_roles_follow_the_setting_at_the_next_start(serve: Serve) -> None:
    async with serve(**SINKS) as web:
        await web.clerk(fixture("clerk/user.created"))
        assert (web.person(MAREN)["role"], web.marks()) == ("member", {"person:1": 1})
    async with serve(admin_emails=EMAIL, **SINKS) as web:
        assert (web.person(MAREN)["role"], web.marks()) == ("admin", {"person:1": 2})
    async with serve(admin_emails=EMAIL, **SINKS) as web:
        assert (web.person(MAREN)["role"], web.marks()) == ("admin", {"person:1": 2})
    async with serve(**SINKS) as web:
        assert (web.person(MAREN)["role"], web.marks()) == ("member", {"person:1": 3})


async def test_an_administrator_named_by_clerk_stays_one_whatever_the_setting(serve: Serve) -> None:
    promoted = fixture("clerk/user.created")
    promoted["data"]["public_metadata"] = {"role": "admin"}
    async with serve(admin_emails=EMAIL) as web:
        await web.clerk(promoted)
    async with serve() as web:
        assert web.person(MAREN)["role"] == "admin"


async def test_a_start_derives_a_whole_household_again(serve: Serve) -> None:
    """Whoever shares the administrator's address (roster, Slack, a rival's claim) is where they were afterwards."""
    async with serve() as web:
        await web.write(_enrol)
        await web.clerk(fixture("clerk/user.created"))
        await web.slack(fixture("slack/team_join"))
        before = web.people(), web.rows("SELECT * FROM identities"), web.rows("SELECT * FROM workspace_members")
    async with serve(admin_emails=EMAIL) as web:
        after = web.people(), web.rows("SELECT * FROM identities"), web.rows("SELECT * FROM workspace_members")
    changed = {"role", "updated_at"}
    assert [{**row, **dict.fromkeys(changed)} for row in before[0]] == [
        {**row, **dict.fromkeys(changed)} for row in after[0]
    ]
    assert before[1:] == after[1:]


def _enrol(tx: Connection) -> None:
    said = Identity("roster", EMAIL, EMAIL, email_verified=True, version=version(1, 0, b""), data={"rotations": ["AM"]})
    assert record(tx, said, Context(), 1)


async def test_a_start_marks_the_user_list_and_frees_what_was_switched_off(serve: Serve) -> None:
    async with serve(**SINKS) as web:
        await web.slack(fixture("slack/app_uninstalled"))
        assert web.one("SELECT off FROM limits WHERE name = 'slack'") == {"off": 1}
    async with serve(**SINKS) as web:
        assert web.one("SELECT off FROM limits WHERE name = 'slack'") == {"off": 0}
        assert web.one("SELECT generation FROM sync_actions WHERE key = 'users'") == {"generation": 2}


async def test_without_sinks_nothing_is_marked(web: Web) -> None:
    await web.clerk(fixture("clerk/user.created"))
    await web.slack(fixture("slack/tokens_revoked"))
    assert web.rows("SELECT * FROM sync_actions WHERE sink <> 'clock'") == []


async def test_answers_are_json_a_platform_can_read(web: Web) -> None:
    answer = await web.send("clerk", fixture("clerk/user.created"))
    assert is_plain_json(answer)
    assert json.loads(answer.content) == {"status": "applied"}
