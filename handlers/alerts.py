"""What a person must look at: one line in the log at error level, one message in Slack where Slack is on."""

import structlog
from sqlalchemy import Connection

from db import outbox
from handlers.registry import Context

log = structlog.get_logger()

CHANNEL = "slack"  # the sink that carries alerts


def alert(tx: Connection, context: Context, key: str, text: str, now: int) -> None:
    """Tell the administrators once per `key`; `text` names what is wrong and what to do, no address, no secret."""
    if CHANNEL in context.sinks and not outbox.post(
        tx, context.workspace_id, CHANNEL, f"alert:{key}", {"text": text}, now
    ):
        return
    log.error("alert", key=key, text=text)
