"""Sign-ins as they add up on a person: how many, when last, from where (S3.4)."""

from typing import Any

from sqlalchemy import Connection

from db import user_data
from handlers.people import values


def note(tx: Connection, user_id: int, active_at: int, login: dict[str, Any] | None) -> None:
    """Count one session event. Sums and maxima: any order gives the same, but for the order within login_history.

    `active_at`: ms. `login`: set where a session began: `at` (ms), `device`, `ip`.
    """
    held = user_data.load(tx, user_id)
    new: dict[str, Any] = {}
    active = values.iso(active_at)
    if active > held.get("last_active", ""):
        new["last_active"] = active
    if login:
        new["session_count"] = held.get("session_count", 0) + 1
        known = {key: login[key] for key in ("device", "ip") if login[key]}
        entry = {"timestamp": values.iso(login["at"]), "success": True, **known}
        history = [*held.get("login_history", []), entry]
        new["login_history"] = sorted(history, key=lambda one: one["timestamp"])[-values.HISTORY_LIMIT :]
    values.store(tx, user_id, new)
