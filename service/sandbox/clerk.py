"""Clerk's Backend API on this machine: the users endpoints a directory is filled and reconciled from."""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from service.sandbox.faults import Fault
from service.sandbox.wire import Answer, Call, Json, RefusedError

DEFAULT_LIMIT = 10
MAX_LIMIT = 500
MAX_FILTER_VALUES = 100
_USERS = "/v1/users"
_ORDERS = (
    "created_at",
    "updated_at",
    "email_address",
    "first_name",
    "last_name",
    "username",
    "last_active_at",
)
_TIMES: dict[str, Callable[[int, int], bool]] = {
    "created_at_after": lambda at, bound: at > bound,
    "created_at_before": lambda at, bound: at < bound,
    "updated_at_after": lambda at, bound: at > bound,
    "updated_at_before": lambda at, bound: at < bound,
}
_ERRORS: dict[int, tuple[str, str, str]] = {
    400: ("bad_request", "Bad request", "The request could not be understood."),
    401: (
        "clerk_key_invalid",
        "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct.",
        "The provided Clerk Secret Key is invalid. Make sure that your Clerk Secret Key is correct.",
    ),
    403: ("authorization_invalid", "Unauthorized request", "You are not authorized to perform this request"),
    404: ("resource_not_found", "not found", "The resource was not found."),
    409: ("conflict", "conflict", "The request conflicts with the current state."),
    422: ("form_param_format_invalid", "is invalid", "A parameter is invalid."),
    429: ("too_many_requests", "Too many requests", "Too many requests. Please try again later."),
    500: ("internal_clerk_error", "Oops, an unexpected error occurred", "There was an internal error."),
}


def error_answer(status: int, long_message: str | None = None, code: str | None = None, **meta: str) -> Answer:
    usual_code, message, usual_long = _ERRORS.get(status, _ERRORS[500])
    error: Json = {"message": message, "long_message": long_message or usual_long, "code": code or usual_code}
    if meta:
        error["meta"] = meta
    return Answer({"errors": [error]}, status)


def refuse(status: int, long_message: str | None = None, code: str | None = None, **meta: str) -> NoReturn:
    raise RefusedError(error_answer(status, long_message, code, **meta))


class Clerk:
    """One instance. `users` are raw user objects by id: change them freely between requests."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"clerk {seed}")
        self.secret_key = f"sk_test_{rng.getrandbits(160):040x}"
        self.users: dict[str, Json] = {}

    def put(self, user: Mapping[str, Any]) -> Json:
        """Adds or replaces a user object as Clerk would answer it."""
        self.users[user["id"]] = dict(user)
        return self.users[user["id"]]

    def update(self, user_id: str, **changes: Any) -> Json:
        """Changes fields and moves `updated_at` (ms) on, as an edit in the dashboard does."""
        user = self.users[user_id]
        now_ms = max(int(time.time() * 1000), int(user.get("updated_at") or 0) + 1)
        user.update({"updated_at": now_ms, **changes})
        return user

    def delete(self, user_id: str) -> Json:
        return self.users.pop(user_id)

    def handle(self, call: Call) -> Answer:
        """Answers one request; raises RefusedError for what Clerk would refuse."""
        if call.bearer != self.secret_key:
            refuse(401)
        if call.method != "GET" or not call.path.startswith(_USERS):
            refuse(404, "The sandbox knows the reading users endpoints only.")
        rest = call.path.removeprefix(_USERS).strip("/")
        if rest == "count":
            return Answer({"object": "total_count", "total_count": len(_filtered(self.users, call))})
        if rest:
            if rest not in self.users:
                refuse(404, f"No user was found with id {rest}")
            return Answer(self.users[rest])
        return Answer(_listed(self.users, call))

    def fault(self, fault: Fault, call: Call, done: Answer | None) -> Answer:  # noqa: ARG002  # same for all
        answer = error_answer(fault.status, None, fault.code)
        if fault.retry_after is None:
            return answer
        return Answer(answer.body, fault.status, {"Retry-After": f"{fault.retry_after:g}"})

    def sign(self, answer: Answer) -> Answer:
        return answer


def _listed(users: Mapping[str, Json], call: Call) -> list[Json]:
    limit = _number(call, "limit", DEFAULT_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        _invalid("limit", f"limit must be between 1 and {MAX_LIMIT}.")
    offset = _number(call, "offset", 0)
    order = (call.one("order_by") or "-created_at").strip()
    field = order.lstrip("+-")
    if field not in _ORDERS:
        _invalid("order_by", f"{order} is not an order.")
    found = sorted(
        _filtered(users, call), key=lambda user: (_sort_key(user, field), user["id"]), reverse=order[0] == "-"
    )
    after = call.one("starting_after")
    if after is None:
        return found[offset : offset + limit]
    if field != "created_at" or offset:
        _invalid("starting_after", "starting_after needs order_by=created_at and no offset.")
    ids = [user["id"] for user in found]
    if after not in ids:
        _invalid("starting_after", f"No user was found with id {after}")
    start = ids.index(after) + 1
    return found[start : start + limit]


def _sort_key(user: Json, field: str) -> tuple[bool, Any]:
    """Nulls first, whatever the field."""
    value = primary_email(user) if field == "email_address" else user.get(field)
    return value is not None, value if value is not None else 0


def _filtered(users: Mapping[str, Json], call: Call) -> list[Json]:
    found = list(users.values())
    for name, held in _FILTERS.items():
        wanted = _values(call, name)
        if wanted:
            found = [user for user in found if held(user) & wanted]
    for name, decide in _TIMES.items():
        if call.one(name) is not None:
            bound, field = _number(call, name, 0), name.rpartition("_")[0]
            found = [user for user in found if decide(user.get(field) or 0, bound)]
    if (banned := call.one("banned")) is not None:
        found = [user for user in found if bool(user.get("banned")) is (banned == "true")]
    if (query := call.one("query")) is not None:
        found = [user for user in found if query.casefold() in _searched(user)]
    return found


def _emails(user: Json) -> set[str]:
    return {email["email_address"].casefold() for email in user.get("email_addresses", ())}


_FILTERS: dict[str, Callable[[Json], set[Any]]] = {
    "user_id": lambda user: {user["id"]},
    "external_id": lambda user: {user.get("external_id")},
    "username": lambda user: {user.get("username")},
    "phone_number": lambda user: {phone["phone_number"] for phone in user.get("phone_numbers", ())},
    "email_address": _emails,
}


def _values(call: Call, name: str) -> set[str]:
    """A filter may be repeated, with or without brackets; more than 100 values are refused."""
    given = [*call.query.get(name, ()), *call.query.get(f"{name}[]", ())]
    values = {value for value in given if value}
    if len(values) > MAX_FILTER_VALUES:
        _invalid(name, f"{name} takes at most {MAX_FILTER_VALUES} values.")
    return {value.casefold() for value in values} if name == "email_address" else values


def _searched(user: Json) -> str:
    names = (user["id"], user.get("first_name"), user.get("last_name"), user.get("username"), *_emails(user))
    return " ".join(name for name in names if name).casefold()


def primary_email(user: Json) -> str | None:
    wanted = user.get("primary_email_address_id")
    return next((e["email_address"] for e in user.get("email_addresses", ()) if e["id"] == wanted), None)


def _number(call: Call, name: str, default: int) -> int:
    raw = call.one(name)
    if raw is None:
        return default
    if not raw.isdecimal():
        _invalid(name, f"{name} must be a number.")
    return int(raw)


def _invalid(param: str, long_message: str) -> NoReturn:
    refuse(422, long_message, None, param_name=param)
