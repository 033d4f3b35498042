"""`rollcall doctor` on call: at night it says which shift has nobody, who cannot be reached, and what to type."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from db.database import transaction
from service.cli import oncall, oncall_change, oncall_setup
from service.cli.doctor import oncall as checks
from tests.handlers.oncall.team import MONDAY, at, in_days
from tests.service.cli.conftest import Rollcall, said

ROSTER = """
AM: [ada@example.com, ben@example.com]
PM: [pia@example.com, quin@example.com]
"""
FEW = "AM: [ada@example.com]\nPM: [pia@example.com]\n"
SLACK = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_ALERT_CHANNEL": "C1", "SLACK_BASE_URL": "http://127.0.0.1:1/api/"}
NOTION = {
    "NOTION_API_TOKEN": "ntn_1",
    "NOTION_CALENDAR_DATA_SOURCE_ID": "a",
    "NOTION_PAST_CALENDAR_DATA_SOURCE_ID": "b",
    "NOTION_BASE_URL": "http://127.0.0.1:1",
}
GONE = "UPDATE users SET status = 'inactive' WHERE email IN ('pia@example.com', 'quin@example.com')"
Look = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def doctor(rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch) -> Look:
    """The checks by name, as of Monday, 2026-11-02, 10:00 UTC, or of `days` later."""

    def look(days: int = 0, **environment: str) -> dict[str, dict[str, Any]]:
        for module in (checks, oncall, oncall_change, oncall_setup):
            monkeypatch.setattr(module, "now_ms", lambda: at(in_days(days), "10:00"))
        found = said(rollcall("doctor", "--json", **environment))["checks"]
        assert "@" not in str([one for one in found if "on" in one["name"]])
        return {one["name"]: one for one in found}

    look()
    return look


@pytest.fixture
def run(rollcall: Rollcall, doctor: Look, folder: Path) -> Rollcall:
    (folder / "roster.yaml").write_text(ROSTER)
    assert rollcall("oncall", "import", "roster.yaml").exit_code == 0
    return rollcall


def test_with_nobody_in_a_rotation_it_is_off(doctor: Look) -> None:
    found = doctor()["on-call rotations"]
    assert (found["level"], "rollcall import roster FILE" in found["found"]) == ("off", True)


def test_a_plan_in_order_is_ok(run: Rollcall, doctor: Look) -> None:
    run("oncall", "plan")
    found = doctor()
    assert found["on-call rotations"]["found"] == "4 active people; each rotation has somebody"
    assert found["on-call schedule"]["found"] == "planned to 2027-01-01"
    assert found["on-call shifts"]["found"].startswith("all ")
    assert {name: one["level"] for name, one in found.items() if "on call" in name or "on-call" in name} == {
        "on-call rotations": "ok",
        "on-call schedule": "ok",
        "on-call shifts": "ok",
        "on call in Slack": "off",
        "on call in Notion": "off",
    }


@pytest.mark.usefixtures("run")
def test_a_rotation_with_nobody_fails(doctor: Look, database_url: str) -> None:
    with transaction(database_url) as tx:
        tx.exec_driver_sql(GONE)
    found = doctor()["on-call rotations"]
    assert (found["level"], found["found"]) == ("failed", "nobody active is in PM")
    assert "rollcall import roster FILE" in found["fix"]


def test_two_people_and_three_rotations_is_a_warning(rollcall: Rollcall, doctor: Look, folder: Path) -> None:
    (folder / "roster.yaml").write_text(FEW)
    rollcall("oncall", "import", "roster.yaml")
    found = doctor()["on-call rotations"]
    assert (found["level"], found["found"]) == (
        "warning",
        "2 people for 3 rotations: somebody serves two on a day",
    )


def test_nothing_planned_fails_and_a_plan_that_ends_early_is_a_warning(run: Rollcall, doctor: Look) -> None:
    found = doctor()["on-call schedule"]
    assert (found["level"], found["found"]) == ("failed", "nothing is planned from today on")
    assert "rollcall oncall plan" in found["fix"]
    run("oncall", "plan")
    assert doctor(7)["on-call schedule"]["level"] == "ok"
    late = doctor(28)["on-call schedule"]
    assert (late["level"], late["found"]) == ("warning", "planned to 2027-01-01, not to 2027-01-25")


@pytest.mark.parametrize(("days", "level"), [(2, "failed"), (21, "warning")])
def test_a_shift_nobody_serves_fails_when_it_is_near(run: Rollcall, doctor: Look, days: int, level: str) -> None:
    run("oncall", "plan")
    day = in_days(days).isoformat()
    for who in ("pia", "quin"):
        assert run("oncall", "off", f"{who}@example.com", day, "--anyway").exit_code == 0
    found = doctor()["on-call shifts"]
    assert (found["level"], found["found"]) == (level, f"nobody serves PM on {day}")
    assert "rollcall oncall override DAY ROTATION WHO" in found["fix"]


def test_somebody_on_call_who_is_away_or_gone_fails(run: Rollcall, doctor: Look, database_url: str) -> None:
    run("oncall", "plan")
    with transaction(database_url) as tx:
        tx.exec_driver_sql(GONE)
    found = doctor()["on-call shifts"]
    assert found["level"] == "failed"
    assert f"whoever serves PM on {MONDAY}" in found["found"]
    assert "is away or gone" in found["found"]


def test_whom_slack_cannot_reach_is_a_warning(run: Rollcall, doctor: Look, database_url: str) -> None:
    run("oncall", "plan")
    found = doctor(**SLACK)["on call in Slack"]
    assert found["level"] == "warning"
    assert f"no Slack account is known of whoever serves AM on {MONDAY}" in found["found"]
    with transaction(database_url) as tx:
        tx.exec_driver_sql("UPDATE users SET slack_user_id = 'U' || id")
    found = doctor(**SLACK)["on call in Slack"]
    assert (found["level"], "SLACK_ONCALL_CHANNEL, SLACK_ONCALL_USERGROUP" in found["found"]) == ("ok", True)


def test_a_topic_that_nobody_keeps_is_a_warning(run: Rollcall, doctor: Look) -> None:
    found = doctor(SLACK_ONCALL_CHANNEL="C1")["on call in Slack"]
    assert found["level"] == "warning"
    assert "SLACK_BOT_TOKEN or SLACK_ALERT_CHANNEL is not set" in found["found"]


def test_shifts_without_a_page_are_a_warning(run: Rollcall, doctor: Look, database_url: str) -> None:
    run("oncall", "plan")
    found = doctor(**NOTION)["on call in Notion"]
    assert found["level"] == "warning"
    assert f"shifts have no page yet: AM on {MONDAY}" in found["found"]
    with transaction(database_url) as tx:
        tx.exec_driver_sql(
            "INSERT INTO sync_status (workspace_id, sink, key, remote_id, synced_at)"
            " SELECT 1, 'notion', 'shift:' || date || ':' || rotation, 'page' || date || rotation, 1"
            " FROM oncall_schedule"
        )
    assert doctor(**NOTION)["on call in Notion"]["level"] == "ok"
