"""The doctor on call: will somebody be there tonight and this week, and do people see who it is?"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from db import people, sync
from db.database import Database
from handlers.oncall.keys import CALENDAR, shift_key
from handlers.oncall.model import Slot
from handlers.oncall.situation import Situation, gather
from service.cli.doctor.check import Check, failed, off, ok, warning
from service.cli.oncall import CONTEXT
from service.clock import now_ms
from service.settings import Settings

SOON = timedelta(days=7)  # what nobody serves by then is no warning any more
BEHIND = timedelta(days=14)  # a horizon ends in a week with holidays, perhaps
NAMED = 3  # slots in a sentence
ROSTER = "put people in with `rollcall import roster FILE`"
OVERRIDE = "`rollcall oncall why DAY` says why; `rollcall oncall override DAY ROTATION WHO`"
PLAN = "is `rollcall serve` running? It plans daily; at once: `rollcall oncall plan`"


@dataclass(frozen=True, slots=True)
class Rota:
    """`unreachable`: slots of the next days whose person has no Slack account; `unshown`: slots without a page."""

    situation: Situation
    unreachable: tuple[Slot, ...]
    unshown: tuple[Slot, ...]


def look(tx: Connection, now: int) -> Rota:
    s = gather(tx, CONTEXT, now)
    week = {slot: duty.final_id for slot, duty in s.duties.items() if slot.date < s.today + SOON}
    known = people.load(tx, {person for person in week.values() if person is not None})
    slackless = {id_ for id_, person in known.items() if not person.slack_user_id}
    known_pages = sync.all_known(tx, CONTEXT.workspace_id, CALENDAR).items()
    pages = {key for key, page in known_pages if page.remote_id is not None}
    return Rota(
        s,
        tuple(slot for slot, person in week.items() if person in slackless),
        tuple(slot for slot in s.duties if shift_key(slot) not in pages),
    )


async def oncall_checks(settings: Settings, database: Database) -> list[Check]:
    rota = await database.read(look, now_ms())
    s = rota.situation
    if not s.people and not s.duties:
        return [off("on-call rotations", f"nobody is in one, so nobody is on call; {ROSTER}")]
    return [
        rotations_check(s),
        schedule_check(s),
        slots_check(s),
        slack_check(settings, rota.unreachable),
        notion_check(settings, rota.unshown),
    ]


def rotations_check(s: Situation) -> Check:
    """A rotation that nobody is in stays unfilled; fewer people than rotations serve twice on a day."""
    name = "on-call rotations"
    active = [person for person in s.people.values() if person.status == "active"]
    pools = {pool for person in active for pool in person.rotations}
    empty = [rotation.name for rotation in s.rules.rotations if not rotation.pools & pools]
    if empty:
        return failed(name, f"nobody active is in {', '.join(empty)}", ROSTER)
    if len(active) < len(s.rules.rotations):
        found = f"{len(active)} people for {len(s.rules.rotations)} rotations: somebody serves two on a day"
        return warning(name, found, ROSTER)
    return ok(name, f"{len(active)} active people; each rotation has somebody")


def schedule_check(s: Situation) -> Check:
    """It is planned, as far as the settings say."""
    name = "on-call schedule"
    if not s.duties:
        return failed(name, "nothing is planned from today on", PLAN)
    last, horizon = max(slot.date for slot in s.duties), s.today + timedelta(days=s.settings.horizon_days)
    if last < horizon - min(BEHIND, timedelta(days=s.settings.horizon_days // 2)):
        return warning(name, f"planned to {last}, not to {horizon}", PLAN)
    return ok(name, f"planned to {last}")


def slots_check(s: Situation) -> Check:
    """Everything planned is served by somebody who is there."""
    name = "on-call shifts"
    unfilled = [slot for slot, duty in s.duties.items() if duty.final_id is None]
    away = [
        slot for slot, duty in s.duties.items() if duty.final_id is not None and not s.able(duty.final_id, slot.date)
    ]
    found = [f"nobody serves {_named(unfilled)}"] if unfilled else []
    found += [f"whoever serves {_named(away)} is away or gone"] if away else []
    if not found:
        return ok(name, f"all {len(s.duties)} have somebody")
    urgent = any(slot.date < s.today + SOON for slot in (*unfilled, *away))
    return (failed if urgent else warning)(name, "; ".join(found), OVERRIDE)


def slack_check(settings: Settings, unreachable: tuple[Slot, ...]) -> Check:
    """Messages, topic and user group reach people."""
    name = "on call in Slack"
    if "slack" not in settings.sinks:
        shown = settings.slack_oncall_channel or settings.slack_oncall_usergroup
        found = "SLACK_BOT_TOKEN or SLACK_ALERT_CHANNEL is not set: nobody is told of shifts"
        return warning(name, f"{found}, nor is topic or user group kept", "set both") if shown else off(name, found)
    if unreachable:
        found = f"no Slack account is known of whoever serves {_named(unreachable)}: no message reaches them"
        return warning(name, found, "run `rollcall import slack`; else `rollcall people show WHO` says what is linked")
    unset = [
        setting.upper()
        for setting in ("slack_oncall_channel", "slack_oncall_usergroup")
        if not getattr(settings, setting)
    ]
    without = f"; not set, so not kept: {', '.join(unset)}" if unset else ""
    return ok(name, f"whoever serves this week has an account{without}")


def notion_check(settings: Settings, unshown: tuple[Slot, ...]) -> Check:
    """Each shift has its page in the calendar, as far as we know; whether they agree is for reconciling to say."""
    name = "on call in Notion"
    if not (settings.notion_api_token and settings.calendar):
        return off(name, "the calendars are not configured; `rollcall notion setup --parent PAGE` makes them")
    if unshown:
        fix = "is `rollcall serve` running? If it is, `rollcall notion reconcile`"
        return warning(name, f"{len(unshown)} shifts have no page yet: {_named(unshown)}", fix)
    return ok(name, "every shift has its page; `rollcall notion reconcile --dry-run` compares them")


def _named(slots: Iterable[Slot]) -> str:
    found = [f"{slot.rotation} on {slot.date}" for slot in sorted(slots)]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more
