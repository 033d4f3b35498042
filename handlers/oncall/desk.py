"""Where surfaces hand in requests: reads, decides on a thread, then writes what was decided if it still holds.

Planning takes up to seconds for hundreds of people; no transaction and no event loop waits for it.
"""

import asyncio
from dataclasses import dataclass

from db.database import Database
from handlers.oncall.changing import apply, must_be_as_shown
from handlers.oncall.consequence import Consequence
from handlers.oncall.deciding import decide
from handlers.oncall.decision import Decision
from handlers.oncall.refusal import Changed
from handlers.oncall.requests import Request
from handlers.oncall.situation import gather
from handlers.registry import Context

TRIES = 5  # others may change the schedule between the decision and the write


@dataclass(frozen=True, slots=True)
class Desk:
    """Both methods raise Refusal, with a sentence for whoever asked, and Unavailable."""

    database: Database
    context: Context

    async def preview(self, request: Request, now: int) -> Consequence:
        """What would happen; nothing does."""
        return (await self._decide(request, now)).consequence

    async def confirm(self, request: Request, shown: str | None, now: int) -> Consequence:
        """Do it. `shown`: digest of the consequence that was confirmed, or None; Changed if another would follow."""
        for _ in range(TRIES):
            decision = await self._decide(request, now)
            must_be_as_shown(decision, shown)
            if await self.database.write(apply, self.context, decision, now):
                return decision.consequence
        raise Changed

    async def _decide(self, request: Request, now: int) -> Decision:
        situation = await self.database.read(gather, self.context, now)
        return await asyncio.to_thread(decide, situation, request)
