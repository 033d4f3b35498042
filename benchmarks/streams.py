"""What Clerk sends, as bodies: `created` is one new person after another, `mixed` a day's mixture.

Svix and Clerk number with KSUIDs (the second comes first, the rest is random); an address has no such order.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TOKEN = b"0" * 16  # stands in the payload wherever one person differs from the next
ADDRESS = b"ada." + TOKEN
IDS_A_SECOND = 1_000
SETTLED = 500  # people before the mixture begins
RESENT = 0.1
CHOICES = (("created", 0.10), ("updated", 0.30), ("same", 0.30), ("session", 0.25), ("deleted", 0.05))

Message = tuple[bytes, bytes]  # the id Svix gives it, and the body


def template() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "user.created.json").read_bytes())
    return found


def token(number: int) -> bytes:
    """No two are alike: what is acknowledged is counted against the rows."""
    return b"%08x%05x%03x" % (number // IDS_A_SECOND, random.getrandbits(20), number % IDS_A_SECOND)


def message_id(number: int) -> bytes:
    return b"msg_35m7WtY3dVg" + token(number)


def created() -> Iterator[Message]:
    """A new person in every message."""
    body = to_bytes(template())
    number = 0
    while True:
        number += 1
        own = token(number)
        yield message_id(number), body.replace(ADDRESS, b"%020x" % random.getrandbits(80)).replace(TOKEN, own)


def mixed() -> Iterator[Message]:
    """10 % created, 60 % updated of which half change nothing, 25 % sessions, 5 % deleted; of all, 10 % sent again."""
    made, rng, people, sent = created(), random.Random(7), dict[str, dict[str, Any]](), list[Message]()
    names, weights = zip(*CHOICES, strict=True)
    number = 0
    while True:
        number += 1
        if sent and rng.random() < RESENT:
            yield rng.choice(sent[-IDS_A_SECOND:])
            continue
        what = "created" if len(people) < SETTLED else rng.choices(names, weights)[0]
        if what == "created":
            body = next(made)[1]
            event = json.loads(body)
            people[event["data"]["id"]] = event
        else:
            body = _about(what, people, number)
        sent.append((message_id(number), body))
        yield sent[-1]


def _about(what: str, people: dict[str, dict[str, Any]], number: int) -> bytes:
    id_ = next(iter(people))
    event = people.pop(id_)
    data = event["data"]
    if what == "deleted":
        gone = {"deleted": True, "id": id_, "object": "user"}
        return to_bytes({**event, "type": "user.deleted", "data": gone})
    people[id_] = event  # at the end: everybody has a turn
    if what == "session":
        return to_bytes({**event, "type": "session.created", "data": _session(data, number)})
    data["updated_at"] += 1000
    if what == "updated":
        data["first_name"] = f"Ada {number}"
    return to_bytes({**event, "type": "user.updated"})


def _session(data: dict[str, Any], number: int) -> dict[str, Any]:
    at = data["updated_at"]
    return {
        "abandon_at": at + 86_400_000,
        "client_id": "client_" + token(number).decode(),
        "created_at": at,
        "expire_at": at + 86_400_000,
        "id": "sess_" + token(number).decode(),
        "last_active_at": at,
        "object": "session",
        "status": "active",
        "updated_at": at,
        "user_id": data["id"],
    }


def to_bytes(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


STREAMS = {"created": created, "mixed": mixed}
