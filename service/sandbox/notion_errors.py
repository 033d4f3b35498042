"""Notion's refusals, word for word where recorded traffic or practitioners' logs have the words."""

from typing import Any, NoReturn

from service.sandbox.faults import Fault
from service.sandbox.wire import Answer, Json, RefusedError

CODES: dict[int, tuple[str, str]] = {
    400: ("validation_error", "body failed validation."),
    401: ("unauthorized", "API token is invalid."),
    403: ("restricted_resource", "Insufficient permissions for this endpoint."),
    404: ("object_not_found", "Could not find the requested object."),
    409: ("conflict_error", "Conflict occurred while saving. Please try again."),
    429: ("rate_limited", "You have been rate limited. Please try again later."),
    500: ("internal_server_error", "Unexpected error occurred."),
    502: ("bad_gateway", "Bad gateway."),
    503: ("service_unavailable", "Service unavailable. Please try again later."),
    504: ("gateway_timeout", "Gateway timeout."),
    529: ("service_overload", "Notion is temporarily overloaded. Please try again later."),
}
CREATING = frozenset(("/v1/pages", "/v1/databases", "/v1/data_sources"))
ARCHIVED = "Can't edit block that is archived. You must unarchive the block before editing."
ARCHIVED_PARENT = "Can't edit page on block with an archived ancestor. You must unarchive the ancestor first."


def error_answer(
    status: int,
    code: str | None = None,
    message: str | None = None,
    additional: Json | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    usual_code, usual_message = CODES.get(status, CODES[500])
    body: Json = {
        "object": "error",
        "status": status,
        "code": code or usual_code,
        "message": message or usual_message,
    }
    if additional:
        body["additional_data"] = additional
    return Answer(body, status, headers or {})


def refuse(status: int, message: str | None = None, code: str | None = None, **additional: Any) -> NoReturn:
    raise RefusedError(error_answer(status, code, message, additional))


def invalid(message: str) -> NoReturn:
    """400 validation_error."""
    refuse(400, message)


def malformed(path: str, should: str, instead: object) -> NoReturn:
    """The schema check of a body: `body.page_size should be ≤ `100`, instead was `101`.`"""
    where = path.partition(".")[0]
    invalid(f"{where} failed validation: {path} should be {should}, instead was `{shown(instead)}`.")


def unsupported(what: str) -> NoReturn:
    """Notion can do this and the sandbox cannot: better to say so than to pretend."""
    invalid(f"The sandbox does not stand in for {what}; Notion may accept it.")


def shown(value: object) -> str:
    """A value as Notion quotes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value[:60]}"'
    return str(value)[:60] if isinstance(value, int | float) else f"{type(value).__name__}"


def only(body: Json, known: frozenset[str], path: str = "body") -> None:
    """Refuses keys the endpoint does not have: Notion does, where a lenient stand-in would nod."""
    for key in body.keys() - known:
        malformed(f"{path}.{key}", "not present", body[key])


def fault_answer(fault: Fault, path: str, committed: Json | None) -> Answer:
    """The error a fault stands for. `committed` is the object the write left behind, if it happened."""
    additional: Json = {}
    headers: dict[str, str] = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = additional["retry_after"] = f"{fault.retry_after:g}"
    if fault.status == 429:  # noqa: PLR2004  # Too Many Requests
        additional["rate_limit_reason"] = fault.reason
    if fault.status == 503 and path.endswith("/query"):  # noqa: PLR2004  # Service Unavailable gives guidance
        additional["retry_guidance"] = ["Back off", "Use a smaller page_size", "Use a narrower filter"]
    elif fault.status == 503 and committed is not None:  # noqa: PLR2004
        additional["retry_guidance"] = ["Read the object again", "Do not repeat the write"]
        # Updates omit the id, for the caller knows it; and a create does not always name it.
        if path in CREATING and fault.named:
            additional["committed_resource_id"] = committed["id"]
    return error_answer(fault.status, fault.code, None, additional, headers)
