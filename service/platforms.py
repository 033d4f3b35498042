"""The list of platforms: what the settings switch on. A new platform is one folder in handlers/ and its lines here."""

from pathlib import Path

from db.database import Database, database_file
from db.sqlite import SqliteFile
from handlers.clerk import events as clerk
from handlers.notion.api import NotionApi
from handlers.notion.calendar import Calendars
from handlers.notion.calendar_cycle import daily_cycle, shown_after
from handlers.notion.sink import NotionSink
from handlers.oncall.changeover import changeover
from handlers.oncall.daily import daily_plan
from handlers.oncall.reminding import reminders
from handlers.people.linking import NOTION, SLACK
from handlers.registry import Context, Sink, Source
from handlers.retention import PURGE, Keep, Purge
from handlers.schedule import Job, Schedule
from handlers.slack import events as slack
from handlers.slack.sink import SlackSink
from handlers.slack.standing import GROUP, TOPIC
from service.backups import BACKUP, Backup
from service.clock import now_ms
from service.limiter import Limiter, interval_ms
from service.settings import Settings, plain

SLACK_INTERVAL_MS = interval_ms(1)  # chat.postMessage: about one a second and channel


def sources(settings: Settings) -> dict[str, Source]:
    """Who sends webhooks, by name; a platform without its signing secret is off."""
    found = []
    if settings.clerk_webhook_signing_secret:
        found.append(clerk.source(plain(settings.clerk_webhook_signing_secret)))
    if settings.slack_signing_secret:
        found.append(slack.source(plain(settings.slack_signing_secret)))
    return {source.name: source for source in found}


def sinks(settings: Settings, database: Database, context: Context) -> list[Sink]:
    """Where marks are delivered; a platform without its token (or where to send to) is off."""
    found: list[Sink] = []
    if NOTION in settings.sinks:
        found.append(notion_sink(notion_api(settings, database), settings, context))
    if settings.slack_bot_token and settings.slack_alert_channel:
        limiter = Limiter(database, "slack", SLACK_INTERVAL_MS, now_ms)
        token = settings.slack_bot_token.get_secret_value()
        found.append(
            SlackSink(
                token,
                settings.slack_alert_channel,
                settings.slack_base_url,
                limiter.wait,
                context=context,
                clock=now_ms,
                oncall_channel=settings.slack_oncall_channel,
                usergroup=settings.slack_oncall_usergroup,
            )
        )
    if due := jobs(settings, context):
        found.append(Schedule(due, context, now_ms))
    return found


def jobs(settings: Settings, context: Context) -> tuple[Job, ...]:
    """What this installation does at a time, rather than because something came in."""
    keep = Keep(settings.keep_event_bodies_days, settings.keep_sync_logs_days, settings.keep_settled_marks_days)
    calendar = bool(settings.notion_api_token and settings.calendar)
    plan = daily_plan(context)
    found = [Job(PURGE, Purge(keep).run), shown_after(plan, context) if calendar else plan]
    file = database_file(settings.database_url)
    if settings.backup_dir and file is not None:  # PostgreSQL: `rollcall backup` from cron, or its own tools
        backup = Backup(
            SqliteFile(file), Path(settings.backup_dir), settings.backup_every_minutes, settings.backup_keep_days
        )
        found.append(Job(BACKUP, backup.run))
    if SLACK in context.sinks:
        found += [changeover(context, SLACK, (TOPIC, GROUP)), reminders(context)]
    if calendar:
        found.append(daily_cycle(context))
    return tuple(found)


def notion_sink(api: NotionApi, settings: Settings, context: Context) -> NotionSink:
    calendars = Calendars(*settings.calendar) if settings.calendar else None
    return NotionSink(api, settings.notion_people_data_source_id, context, now_ms, calendars)


def notion_api(settings: Settings, database: Database, *, patient: bool = False) -> NotionApi:
    """Notion's API within the shared rate limit. `patient`: wait for a slot however long it takes."""
    assert settings.notion_api_token is not None
    interval = interval_ms(settings.notion_requests_per_second)
    limiter = Limiter(database, "notion", interval, now_ms, patient=patient)
    return NotionApi(settings.notion_api_token.get_secret_value(), settings.notion_base_url, limiter.turn)
