"""`workspace_settings(workspace_id, key, value)`: what a workspace chose, one JSON value a feature.

Values are typed by the feature that owns the key; this module stores what it has let through.
"""

from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from db.oncall_tables import workspace_settings as t

ONE = select(t.c.value).where(t.c.workspace_id == bindparam("workspace_id"), t.c.key == bindparam("key"))
_put = insert(t)
PUT = _put.on_conflict_do_update(
    index_elements=[t.c.workspace_id, t.c.key],
    set_={"value": _put.excluded.value, "updated_at": _put.excluded.updated_at},
)


def get(tx: Connection, workspace_id: int, key: str) -> Any:
    """The value, or None where nothing was chosen."""
    return tx.execute(ONE, {"workspace_id": workspace_id, "key": key}).scalar()


def put(tx: Connection, workspace_id: int, key: str, value: Any, now: int) -> None:
    tx.execute(PUT, {"workspace_id": workspace_id, "key": key, "value": value, "updated_at": now})
