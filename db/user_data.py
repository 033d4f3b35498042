"""`user_data(user_id, key, value)`: what is known of a person beyond their row, one JSON value a key (S3.4).

Values are typed; this module stores what `handlers.people.values` has let through.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from db.statements import Statement
from db.tables import user_data as t

LOAD = Statement(select(t.c.key, t.c.value).where(t.c.user_id == bindparam("user_id")))
LOAD_MANY = select(t.c.user_id, t.c.key, t.c.value).where(
    t.c.user_id.in_(bindparam("ids", expanding=True)), t.c.key.in_(bindparam("keys", expanding=True))
)
DROP = t.delete().where(t.c.user_id == bindparam("of_user_id"), t.c.key == bindparam("of_key"))


@functools.cache
def _put(keys: int) -> Statement:
    """So many keys of one person in one statement, of which there is one a key at the most."""
    rows = [
        {
            "user_id": bindparam("user_id"),
            "key": bindparam(f"key_{n}"),
            "value": bindparam(f"value_{n}", type_=t.c.value.type),
        }
        for n in range(keys)
    ]
    put = insert(t).values(rows)
    return Statement(
        put.on_conflict_do_update(index_elements=[t.c.user_id, t.c.key], set_={"value": put.excluded.value})
    )


def load(tx: Connection, user_id: int) -> dict[str, Any]:
    return dict(LOAD.rows(tx, {"user_id": user_id}))


def load_many(tx: Connection, ids: Iterable[int], keys: Iterable[str]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for user_id, key, value in tx.execute(LOAD_MANY, {"ids": sorted(ids), "keys": sorted(keys)}):
        found.setdefault(user_id, {})[key] = value
    return found


def put(tx: Connection, user_id: int, values: Mapping[str, Any]) -> None:
    if not values:
        return
    row: dict[str, Any] = {"user_id": user_id}
    for n, (key, value) in enumerate(values.items()):
        row[f"key_{n}"], row[f"value_{n}"] = key, value
    _put(len(values)).send(tx, row)


def drop(tx: Connection, user_id: int, keys: Iterable[str]) -> None:
    for key in sorted(keys):
        tx.execute(DROP, {"of_user_id": user_id, "of_key": key})
