"""docs/operations.md and .env.example say everything there is, and nothing else: compared with the code itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import migrations
from db.database import Database
from handlers.oncall.settings import OnCallSettings
from handlers.registry import Context
from service.cli.actions import Status as MarkStatus
from service.cli.events import Status as EventStatus
from service.cli.exits import DEBUG, Code
from service.cli.send import URL
from service.health import Health
from service.relay import Relay
from service.settings import Settings, SettingsError, load
from tests.docs.pages import (
    EXAMPLE,
    PACKAGES,
    ROOT,
    codes,
    commands,
    operations,
    options_of,
    rows,
    section,
    text_of,
    without_subsections,
)

LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
SETTINGS = {name.upper(): field for name, field in Settings.model_fields.items()}
TABLE = {codes(row[0])[0]: row for row in rows(without_subsections(section(operations(), "## Settings")))}
WRONG = {
    "DATABASE_URL": (
        "no url",
        "mysql://host/name",
        "postgresql://host",
        "postgres://host/name?pool=1",
        "sqlite://file.db",
        "sqlite:///file.db?mode=ro",
        "sqlite://",
    ),
    "PORT": ("70000", "http"),
    "WEB_CONCURRENCY": ("0", "65", "many"),
    "ADMIN_EMAILS": ("ada",),
    "RELAY": ("both",),
    "LOG_LEVEL": ("LOUD",),
    "LOG_FORMAT": ("xml",),
    "CLERK_WEBHOOK_SIGNING_SECRET": ("abc",),
    "CLERK_SECRET_KEY": ("pk_test",),
    "CLERK_BASE_URL": ("api.clerk.com",),
    "SLACK_SIGNING_SECRET": ("short",),
    "SLACK_BOT_TOKEN": ("xoxp-1",),
    "SLACK_BASE_URL": ("slack",),
    "NOTION_API_TOKEN": ("ntn é",),
    "NOTION_BASE_URL": ("notion",),
    "KEEP_EVENT_BODIES_DAYS": ("-1", "40000", "month"),
    "KEEP_SYNC_LOGS_DAYS": ("-1", "40000", "month"),
    "KEEP_SETTLED_MARKS_DAYS": ("-1", "6", "40000", "month"),
    "BACKUP_EVERY_MINUTES": ("0", "20000", "hour"),
    "BACKUP_KEEP_DAYS": ("0", "4000", "week"),
    "NOTION_REQUESTS_PER_SECOND": ("0.1", "-1", "2000", "fast"),
}
DATA_SOURCES = {f"NOTION_{name}_DATA_SOURCE_ID" for name in ("PEOPLE", "CALENDAR", "PAST_CALENDAR")}
ANYTHING_GOES = {
    "HOST",
    "BACKUP_DIR",
    "SLACK_ALERT_CHANNEL",
    "SLACK_ONCALL_CHANNEL",
    "SLACK_ONCALL_USERGROUP",
    *DATA_SOURCES,
}


def default_of(name: str) -> str:
    default = SETTINGS[name].default
    return f"{default:g}" if isinstance(default, float) else str(default) if default else ""


def test_the_table_has_every_setting_and_nothing_else() -> None:
    assert TABLE.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_the_table_has_the_default(name: str) -> None:
    assert TABLE[name][1].strip("`") == default_of(name)


def test_the_example_has_every_setting_commented_out_with_its_default() -> None:
    lines = re.findall(r"^# ([A-Z_]+)=(.*)$", text_of(EXAMPLE), re.MULTILINE)
    assert dict(lines) == {name: default_of(name) for name in SETTINGS}
    assert len(lines) == len(SETTINGS)
    assert all(line.startswith("#") or not line for line in text_of(EXAMPLE).splitlines())


def test_every_setting_that_can_be_wrong_has_a_wrong_value() -> None:
    assert WRONG.keys() | ANYTHING_GOES == SETTINGS.keys()
    assert not WRONG.keys() & ANYTHING_GOES


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_the_table_has_what_a_wrong_value_says(
    name: str, value: str, no_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load(_env_file=None)
    said = str(caught.value)
    assert said.startswith(f"{name} ")
    known = [part.strip() for part in TABLE[name][3].split(" · ")]
    told = said.removeprefix(f"{name} ")
    assert any(re.match(re.escape(part).replace(r"\(name\)", r"\w+"), told) for part in known), told


@pytest.mark.parametrize("name", sorted(ANYTHING_GOES))
def test_a_setting_that_takes_anything_takes_anything(
    name: str, no_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "anything")
    load(_env_file=None)


def test_the_settings_of_being_on_call_are_all_there_with_their_defaults() -> None:
    table = {codes(row[0])[0]: row[1] for row in rows(section(operations(), "### Of a workspace, for being on call"))}
    defaults = OnCallSettings().model_dump(mode="json")
    shown = {name: ",".join(one) if isinstance(one, list) else str(one or "") for name, one in defaults.items()}
    assert {name: default.strip("`") for name, default in table.items()} == shown


def test_the_other_variables_are_named() -> None:
    named = {codes(row[0])[0] for row in rows(section(operations(), "### For the command line only"))}
    assert named == {URL, DEBUG}


# --- commands ---


def command_sections() -> dict[str, str]:
    """`events list` → what stands under its heading."""
    text = section(operations(), "## Commands")
    headings = re.findall(r"^(### `rollcall ([^`]+)`)$", text, re.MULTILINE)
    return {" ".join(w for w in words.split() if w.islower()): section(text, head) for head, words in headings}


def test_every_command_has_its_section_and_no_other() -> None:
    assert command_sections().keys() == {" ".join(words) for words in commands()}


@pytest.mark.parametrize("words", [" ".join(words) for words in commands()])
def test_a_section_has_every_option_of_its_command(words: str) -> None:
    named = {option for row in rows(command_sections()[words]) for option in codes(row[0])}
    assert named == options_of(commands()[tuple(words.split())])


def test_every_exit_code_is_explained_in_the_words_of_the_program() -> None:
    table = {int(row[0]): row[1] for row in rows(section(operations(), "### Exit codes"))}
    assert table == {code.value: code.meaning for code in Code}


# --- what runs ---


async def test_every_field_of_readyz_is_explained(database: Database) -> None:
    relay = Relay(database, [], Context())
    found = (await Health(database, relay, migrations.head()).report())[1]
    refused = (await Health(database, relay, "another").report())[1]
    keys = {*refused, *found, *(f"coverage.{key}" for key in found["coverage"])}
    assert {codes(row[0])[0] for row in rows(section(operations(), "## Health"))} == keys


def test_every_reason_of_readyz_is_quoted() -> None:
    said = re.findall(r'"reason": "([^"]+)"', text_of(ROOT / "service" / "health.py"))
    assert len(said) > 2
    assert [reason for reason in said if reason not in section(operations(), "## Health")] == []


def test_every_log_line_is_explained_and_no_other() -> None:
    table = {codes(row[0])[0] for row in rows(without_subsections(section(operations(), "## Log lines")))}
    assert table == set(log_lines())


def test_the_level_of_every_log_line_is_right() -> None:
    levels: dict[str, set[str]] = {}
    for row in rows(without_subsections(section(operations(), "## Log lines"))):
        levels[codes(row[0])[0]] = set(row[1].split(" or "))
    wrong = {name: level for name, level in log_lines().items() if level not in {"log", *levels.get(name, ())}}
    assert wrong == {}


def log_lines() -> dict[str, str]:
    """Each structlog event in the code, and its level."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return {name: level for file in files for name, level in _logged(file)}


def _logged(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(text_of(file))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not _is_log(node.func.value):
            continue
        level = node.func.attr.replace("exception", "error")
        # log.log(level, event); the others take the event first
        event = node.args[1] if level == "log" else node.args[0]
        if level in (*LEVELS, "log"):
            assert isinstance(event, ast.Constant), f"{file}: a log line needs a name that can be looked up"
            yield event.value, level


def _is_log(value: Any) -> bool:
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Attribute) and value.func.attr == "get_logger"
    return isinstance(value, ast.Name) and value.id == "log"


def test_every_alert_is_explained() -> None:
    """An alert's key begins with what happened: `event:`, `dead:`, …"""
    keys = {re.split(r"[:]", codes(row[0])[0])[0] for row in rows(section(operations(), "### Alerts"))}
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    raising = re.compile(r'\balert(?:\(tx, \w+|, self\._context), f"([a-z-]+):')
    raised = {key for file in files for key in raising.findall(text_of(file))}
    assert keys == raised


def test_every_answer_is_explained() -> None:
    table = {int(row[0]) for row in rows(without_subsections(section(operations(), "## HTTP answers")))}
    sources = [text_of(ROOT / "service" / name) for name in ("app.py", "intake.py", "health.py", "feed.py")]
    given = {
        int(code)
        for text in sources
        for code in re.findall(r"(?:Answer\(|answer_json\(|return |status_code=)(\d{3})\b", text)
    }
    given |= {int(code) for code in re.findall(r"HTTP/1\.1 (\d{3})", text_of(ROOT / "service" / "connections.py"))}
    assert given | {404, 405, 413} == table  # these three are Starlette's


def test_every_state_is_in_the_diagrams() -> None:
    text = text_of(ROOT / "docs" / "architecture.md")
    for heading, states in (("## The states of an event", EventStatus), ("## The states of a mark", MarkStatus)):
        diagram = section(text, heading).split("```")[1]
        assert [state for state in get_args(states) if state not in diagram] == []
