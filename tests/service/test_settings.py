"""A setting that cannot work stops the start with its name and the fix, and never with a secret."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings, SettingsError, load, plain

CLERK = "whsec_" + "A" * 32
OTHER = "whsec_" + "B" * 32
SLACK = "8f742231b10e8888abcd99yyyzzz85a5"
NOTION = {"notion_api_token": "ntn_x", "notion_people_data_source_id": "source"}
DATA_SOURCES = (
    "NOTION_PEOPLE_DATA_SOURCE_ID",
    "NOTION_CALENDAR_DATA_SOURCE_ID",
    "NOTION_PAST_CALENDAR_DATA_SOURCE_ID",
)
SLACK_OUT = {"slack_bot_token": "xoxb-1", "slack_alert_channel": "C0ALERTS"}
SECRET = "hunter2hunter2"

WRONG = [
    ("DATABASE_URL", "rollcall.db", "write sqlite:///rollcall.db"),
    ("DATABASE_URL", "sqlite:///:memory:", "write sqlite:///rollcall.db"),
    ("DATABASE_URL", "sqlite://data/rollcall.db", "write sqlite:///rollcall.db"),
    ("DATABASE_URL", f"mysql://rollcall:{SECRET}@localhost/rollcall", "write sqlite:///rollcall.db"),
    ("DATABASE_URL", f"postgresql://rollcall:{SECRET}@localhost", "write postgresql://user:password@host/rollcall"),
    ("DATABASE_URL", f"postgresql://rollcall:{SECRET}@localhost/rollcall?pool=1", "invalid connection option"),
    ("PORT", "eighty", "a valid integer"),
    ("WEB_CONCURRENCY", "0", "greater than or equal to 1"),
    ("PORT", "65536", "less than or equal to 65535"),
    ("PORT", "-1", "greater than or equal to 0"),
    ("ADMIN_EMAILS", "ada@example.com bob@example.com", "separated by commas"),
    ("ADMIN_EMAILS", "ada@example.com, bob", "must be e-mail addresses"),
    ("LOG_LEVEL", "loud", "DEBUG, INFO, WARNING or ERROR"),
    ("LOG_FORMAT", "xml", "auto, json or console"),
    ("CLERK_WEBHOOK_SIGNING_SECRET", SECRET, "must be whsec_ and at least 32 base64 characters"),
    ("CLERK_WEBHOOK_SIGNING_SECRET", f"whsec_{SECRET}", "must be whsec_ and at least 32 base64 characters"),
    ("CLERK_WEBHOOK_SIGNING_SECRET", f"{CLERK},{SECRET}", "must be whsec_ and at least 32 base64 characters"),
    ("CLERK_SECRET_KEY", SECRET, "must start with sk_"),
    ("CLERK_SECRET_KEY", f"sk_{SECRET}é", "must start with sk_"),
    ("SLACK_BOT_TOKEN", f"xoxb-{SECRET}\n{SECRET}", "must start with xoxb-"),
    ("NOTION_API_TOKEN", f"ntn_{SECRET}\u200b", "plain letters without spaces"),
    ("NOTION_API_TOKEN", f"{SECRET} {SECRET}", "plain letters without spaces"),
    ("CLERK_BASE_URL", "api.clerk.com", "such as https://api.example.com"),
    ("SLACK_SIGNING_SECRET", SECRET, "the 32 characters under Basic Information"),
    ("SLACK_SIGNING_SECRET", f"xoxb-{SECRET}-{SECRET}", "the 32 characters under Basic Information"),
    ("SLACK_SIGNING_SECRET", "ü" * 32, "the 32 characters under Basic Information"),
    ("SLACK_BOT_TOKEN", f"xoxp-{SECRET}", "must start with xoxb-"),
    ("SLACK_BASE_URL", "ftp://slack.com", "such as https://api.example.com"),
    ("NOTION_BASE_URL", "https://", "such as https://api.example.com"),
    ("NOTION_BASE_URL", "http://[", "such as https://api.example.com"),
    ("NOTION_BASE_URL", "http://localhost:port", "such as https://api.example.com"),
    ("RELAY", "both", "must be embedded (`rollcall serve` delivers) or worker"),
    ("KEEP_EVENT_BODIES_DAYS", "-1", "greater than or equal to 0"),
    ("KEEP_SYNC_LOGS_DAYS", "a week", "a valid integer"),
    ("KEEP_SETTLED_MARKS_DAYS", "6", "0 (for ever) or at least 7"),
    ("BACKUP_EVERY_MINUTES", "0", "greater than or equal to 1"),
    ("BACKUP_KEEP_DAYS", "0", "greater than or equal to 1"),
    ("NOTION_REQUESTS_PER_SECOND", "three", "a valid number"),
    ("NOTION_REQUESTS_PER_SECOND", "0.2", "0 (no limit of our own) or at least 0.25"),
    ("NOTION_REQUESTS_PER_SECOND", "-1", "greater than or equal to 0"),
    ("NOTION_REQUESTS_PER_SECOND", "nan", "equal to"),
    ("NOTION_REQUESTS_PER_SECOND", "inf", "less than or equal to 1000"),
]


@pytest.fixture(autouse=True)
def nothing_set(no_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("name", "value", "fix"), WRONG)
def test_a_wrong_value_is_refused_by_name_with_the_fix_and_without_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, fix: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load()
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{name} ")
    assert fix in line
    assert SECRET not in line
    assert SECRET not in repr(refused.value.__context__)


def test_every_field_is_either_tried_with_a_wrong_value_or_takes_any_text() -> None:
    slack = {"SLACK_ALERT_CHANNEL", "SLACK_ONCALL_CHANNEL", "SLACK_ONCALL_USERGROUP"}
    free = {"HOST", "BACKUP_DIR", *slack, *DATA_SOURCES}
    assert {name.upper() for name in Settings.model_fields} == {name for name, _, _ in WRONG} | free


def test_the_two_calendars_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """S2.9: past shifts are moved out of one into the other."""
    monkeypatch.setenv("NOTION_CALENDAR_DATA_SOURCE_ID", "0123-45")
    monkeypatch.setenv("NOTION_PAST_CALENDAR_DATA_SOURCE_ID", "012345")
    with pytest.raises(SettingsError, match=r"^NOTION_PAST_CALENDAR_DATA_SOURCE_ID must not be"):
        load()


def test_everything_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "x", "LOG_LEVEL": "x", "SLACK_BOT_TOKEN": "x", "DATABASE_URL": "x"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load()
    named = {line.split()[0] for line in str(refused.value).splitlines()}
    assert named == {"PORT", "LOG_LEVEL", "SLACK_BOT_TOKEN", "DATABASE_URL"}


def test_without_any_setting_it_runs_on_a_file_beside_it_with_every_platform_off() -> None:
    settings = load()
    assert settings.database_url == "sqlite:///rollcall.db"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.sinks == frozenset()
    assert settings.clerk_webhook_signing_secret == settings.slack_signing_secret == ()


@pytest.mark.parametrize("blank", ["", " ", "\t"])
@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_blank_value_is_no_value(monkeypatch: pytest.MonkeyPatch, name: str, blank: str) -> None:
    unset = load()
    monkeypatch.setenv(name.upper(), blank)
    assert load() == unset


def test_the_environment_names_are_the_field_names_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("log_level", "debug")
    monkeypatch.setenv("UNHEARD_OF", "x")
    settings = load()
    assert (settings.port, settings.log_level) == (9000, "DEBUG")


def test_a_dotenv_file_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=9000\nHOST=0.0.0.0\nSLACK_ALERT_CHANNEL='#ops ü'\nOTHER=1\n", encoding="utf-8")
    monkeypatch.setenv("PORT", "9001")
    settings = load()
    assert (settings.port, settings.host, settings.slack_alert_channel) == (9001, "0.0.0.0", "#ops ü")  # noqa: S104


def test_a_wrong_value_in_a_dotenv_file_is_told_like_any_other(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"SLACK_BOT_TOKEN={SECRET}\n")
    with pytest.raises(SettingsError, match=r"^SLACK_BOT_TOKEN must start with xoxb-") as refused:
        load()
    assert SECRET not in str(refused.value)


def test_several_signing_secrets_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLERK_WEBHOOK_SIGNING_SECRET", f" {CLERK} , {OTHER},")
    monkeypatch.setenv("SLACK_SIGNING_SECRET", SLACK)
    settings = load()
    assert plain(settings.clerk_webhook_signing_secret) == (CLERK, OTHER)
    assert plain(settings.slack_signing_secret) == (SLACK,)


def test_admin_addresses_are_compared_as_everybodys_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_EMAILS", " Ada@Example.com, bob@example.com ,ada@example.com,")
    assert load().admin_emails == {"ada@example.com", "bob@example.com"}


@pytest.mark.parametrize("name", ["clerk_base_url", "slack_base_url", "notion_base_url"])
def test_a_base_url_loses_its_last_slash(name: str) -> None:
    assert getattr(load(**{name: "http://127.0.0.1:9/v1/"}), name) == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("given", "sinks"),
    [
        ({}, set()),
        ({"notion_api_token": "ntn_x"}, set()),
        ({"notion_people_data_source_id": "source"}, set()),
        (NOTION, {"notion"}),
        ({"slack_bot_token": "xoxb-1"}, set()),
        ({"slack_alert_channel": "C0ALERTS"}, set()),
        (SLACK_OUT, {"slack"}),
        ({**NOTION, **SLACK_OUT}, {"notion", "slack"}),
    ],
)
def test_marks_are_raised_for_a_platform_with_its_token_and_where_to_send_to(
    given: dict[str, Any], sinks: set[str]
) -> None:
    assert load(**given).sinks == sinks


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().port = 9


def test_no_secret_is_shown_by_printing_the_settings() -> None:
    secrets = {"notion_api_token": SECRET, "slack_bot_token": f"xoxb-{SECRET}", "clerk_secret_key": f"sk_{SECRET}"}
    settings = load(**secrets, clerk_webhook_signing_secret=CLERK, slack_signing_secret=SLACK)
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert not [secret for secret in (SECRET, CLERK, SLACK) if secret in shown]
