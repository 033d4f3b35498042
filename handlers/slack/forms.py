"""What Slack posts when somebody types a command, presses a button or submits a window: forms, read before Bolt is.

Bolt reads a body before it knows the sender, and takes a command whose text contains "payload" for something else.
So what it is given is built here anew, from the few fields that are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handlers.bodies import complaint, json_object
from handlers.registry import Malformed
from handlers.slack.payloads import SlackId

COMMANDS = "/slack/commands"
INTERACTIVITY = "/slack/interactivity"
FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 100

Trigger = Annotated[str, Field(min_length=1, max_length=256)]
Name = Annotated[str, Field(max_length=255)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Command(_Part):
    """A slash command, as it was typed."""

    command: Annotated[str, Field(pattern=r"^/\S{1,80}$")]
    text: Annotated[str, Field(max_length=8_000)] = ""
    user_id: SlackId
    team_id: SlackId | None = None
    trigger_id: Trigger


class Who(_Part):
    id: SlackId


class State(_Part):
    """What was filled in: by block, by action."""

    values: dict[str, dict[str, dict[str, Any]]] = {}


class View(_Part):
    type: Literal["modal"]  # Bolt looks at it in every submission
    id: SlackId
    callback_id: Name = ""
    private_metadata: Annotated[str, Field(max_length=3_000)] = ""
    state: State = State()


class Submission(_Part):
    """A window whose button was pressed."""

    type: str
    user: Who
    team: Who | None = None
    view: View


class Action(_Part):
    action_id: Name
    value: Annotated[str, Field(max_length=2_000)] | None = None


class Pressed(_Part):
    """A button in a message or on the home page."""

    type: str
    user: Who
    team: Who | None = None
    trigger_id: Trigger
    actions: Annotated[list[Action], Field(min_length=1)]


class Other(_Part):
    """Something Slack may send and nobody asked for: a closed window, a shortcut."""

    type: Annotated[str, Field(min_length=1, max_length=200)]


MODELS: dict[str, type[_Part]] = {"view_submission": Submission, "block_actions": Pressed}


@dataclass(frozen=True, slots=True)
class Form:
    """One request. `body` is what Bolt is given; `kind` and `name` are for the log: no text, no address."""

    kind: str
    name: str
    user: str | None
    body: dict[str, Any]


def read(path: str, headers: Mapping[str, str], body: bytes) -> Form | None:
    """The request that these bytes are; None for Slack's look at our certificate. Malformed says what is wrong."""
    fields = _fields(headers, body)
    if fields.get("ssl_check") == "1" and "command" not in fields:
        return None
    try:
        return _command(fields) if path == COMMANDS else _interaction(fields)
    except ValidationError as error:
        raise complaint(error) from None


def _fields(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise Malformed(f"the content type is not {FORM}")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Malformed("the body is not a form of UTF-8 text") from None
    fields = dict(pairs)
    if any("\0" in name or "\0" in value for name, value in fields.items()):
        raise Malformed("a field contains a NUL character")
    return fields


def _command(fields: dict[str, str]) -> Form:
    said = Command.model_validate(fields)
    words = said.text.split(maxsplit=1)
    word = words[0].lower() if words and words[0].isascii() and words[0].isalpha() else ""
    return Form("command", f"{said.command} {word[:20]}".strip(), said.user_id, said.model_dump())


def _interaction(fields: dict[str, str]) -> Form:
    if "payload" not in fields:
        raise Malformed("payload: the form has none")
    said = json_object(fields["payload"].encode())
    type_ = said.get("type")
    model = MODELS.get(type_, Other) if isinstance(type_, str) else Other
    found = model.model_validate(said)
    if isinstance(found, Submission):
        return Form(found.type, found.view.callback_id, found.user.id, found.model_dump())
    if isinstance(found, Pressed):
        return Form(found.type, found.actions[0].action_id, found.user.id, found.model_dump())
    return Form(str(type_), "", None, {"type": type_})
