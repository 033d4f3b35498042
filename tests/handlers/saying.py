"""Events about made-up people, whole but for what a test says; and lines of the roster as their import records them."""

from typing import Any

from sqlalchemy import Connection

from db.identities import Identity
from handlers.people.recording import record, version
from tests.service.web import Json, Web, fixture

NOW = 1_790_000_000_000


def said(
    clerk_id: str = "user_ada",
    email: str | None = "ada@example.com",
    *,
    verified: bool = True,
    updated: int = 0,
    sent: int = 0,
    type_: str = "user.updated",
    **data: Any,
) -> Json:
    """A whole event about one account, with one address; `updated` and `sent` are ms after NOW."""
    message = fixture("clerk/user.updated")
    user = message["data"]
    addresses = [{**user["email_addresses"][0], "id": "idn_1", "email_address": email}] if email else []
    for address in addresses:
        address["verification"] = {"status": "verified" if verified else "unverified"}
    user |= {
        "id": clerk_id,
        "email_addresses": addresses,
        "primary_email_address_id": "idn_1" if email else None,
        "first_name": "Ada",
        "last_name": "Byron",
        "username": None,
        "public_metadata": {},
        "unsafe_metadata": {},
        "created_at": NOW - 1_000,
        "updated_at": NOW + updated,
        **data,
    }
    return message | {"type": type_, "timestamp": NOW + sent}


def deleted(clerk_id: str = "user_ada", at: int = 10) -> Json:
    return {"type": "user.deleted", "object": "event", "data": {"id": clerk_id, "deleted": True}, "timestamp": NOW + at}


async def enrol(web: Web, email: str, *rotations: str, name: str | None = None) -> None:
    """A line of the roster, as its import records it."""
    data: Json = {"rotations": list(rotations), **({"name": name} if name else {})}
    entry = Identity("roster", email, email, email_verified=True, version=version(NOW, 0, b""), data=data)
    assert await web.write(record, entry, web.service.intake.context, NOW)


def rotations(web: Web) -> list[tuple[str, str]]:
    found = web.rows("SELECT email, rotation FROM workspace_members JOIN users ON users.id = user_id ORDER BY 1, 2")
    return [(row["email"], row["rotation"]) for row in found]


def forget_everything(tx: Connection) -> None:
    for table in ("users", "identities", "webhook_events"):
        tx.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - names of ours
