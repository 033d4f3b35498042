"""`rollcall erase`: somebody asks to be forgotten; what is kept of them goes, here and from Notion."""

from typing import Annotated

import typer

from db.database import Database
from handlers.people import erasing
from handlers.people.erasing import Traces
from handlers.people.linking import CLERK, NOTION, ROSTER, SLACK
from service.cli import session
from service.cli.console import AsJson, note, print_json, say
from service.cli.exits import Problem
from service.clock import now_ms
from service.context import context_of
from service.settings import Settings

RETURN = {
    CLERK: "Clerk still knows them: its next event or `rollcall import clerk` brings them back. Delete them there.",
    SLACK: "Slack still knows them: its next event or `rollcall import slack` brings the account back.",
    NOTION: "Notion still lists them as a member: the account is read again within the hour.",
    ROSTER: "The roster file may still name them: take the line out before the next `rollcall import roster`.",
}


def erase(
    who: Annotated[str, typer.Argument(metavar="WHO", help="Row id, address, or Clerk, Slack or Notion id.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget somebody: the person, their accounts, the bodies of events about them; their page goes to the trash."""
    traces = session.read(erasing.find, who)
    if traces is None:
        raise Problem(f"nobody is known as {who}, and no event is about them: there is nothing to erase")
    accounts = [f"{provider} {external_id}" for provider, external_id in sorted(traces.refs)]
    if not yes:
        named = traces.name or "somebody who is deleted already"
        typer.confirm(
            f"Erase {named} ({', '.join(accounts)})? It cannot be brought back, but from a backup.",
            abort=True,
            err=True,
        )

    async def work(settings: Settings, database: Database) -> int:
        return await erasing.erase(database, traces, context_of(settings), now_ms())

    bodies = session.run(work)
    back = sorted({provider for provider, _ in traces.live})
    if as_json:
        print_json({"person": traces.user_id, "accounts": accounts, "bodies": bodies, "still_known_by": back})
    else:
        say(_summary(traces, bodies))
    for provider in back:
        note(RETURN[provider])
    note("Backups keep what they hold until they are deleted.")


def _summary(traces: Traces, bodies: int) -> str:
    person = f"person {traces.user_id} is erased" if traces.user_id else "there was no person any more"
    return f"{person}; {len(traces.live)} accounts forgotten, {bodies} bodies of events emptied"
