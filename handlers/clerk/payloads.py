"""Clerk's webhook payloads, parsed permissively: what we use is typed, the rest may be anything.

Source: Clerk's OpenAPI description of its webhooks (2025-04-15).
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LATEST_MS = 253_402_300_799_000  # the end of year 9999: later is not a time
SECONDS_BELOW = 100_000_000_000  # an envelope time under this is in seconds: Clerk documents ms and shows s

Ms = Annotated[int, Field(ge=0, le=LATEST_MS)]
ClerkId = Annotated[str, Field(min_length=1, max_length=256)]


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Verification(_Payload):
    status: str | None = None


class EmailAddress(_Payload):
    id: str | None = None
    email_address: str | None = None
    verification: Verification | None = None

    @property
    def verified(self) -> bool:
        return self.verification is not None and self.verification.status == "verified"


class User(_Payload):
    """`data` of user.created and user.updated, and an element of the Backend API's user list."""

    id: ClerkId
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    locale: str | None = None
    primary_email_address_id: str | None = None
    email_addresses: list[EmailAddress] = Field(default_factory=list)
    public_metadata: dict[str, Any] | None = None
    unsafe_metadata: dict[str, Any] | None = None
    banned: bool | None = None
    locked: bool | None = None
    created_at: Ms
    updated_at: Ms

    @property
    def primary_email(self) -> EmailAddress | None:
        """The address `primary_email_address_id` names, not the first; it may name none (S3.5)."""
        wanted = self.primary_email_address_id
        return next((found for found in self.email_addresses if wanted and found.id == wanted), None)


class Deleted(_Payload):
    """`data` of user.deleted. The specification does not promise the id."""

    id: ClerkId | None = None


class ClientRequest(_Payload):
    client_ip: str | None = None
    user_agent: str | None = None


class Attributes(_Payload):
    http_request: ClientRequest | None = None


class Session(_Payload):
    id: ClerkId
    user_id: ClerkId
    status: str | None = None
    last_active_at: Ms | None = None
    created_at: Ms | None = None
    updated_at: Ms | None = None


def _is_object(value: Any) -> Any:
    """`data` is typed once its kind is known; until then it is not copied."""
    if not isinstance(value, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - pydantic's way of saying no
    return value


class Envelope(_Payload):
    type: Annotated[str, Field(min_length=1, max_length=200)]
    timestamp: Ms | None = None
    data: Annotated[Any, AfterValidator(_is_object)]
    event_attributes: Attributes | None = None

    @property
    def sent_at(self) -> int:
        """When the event happened, ms."""
        stamp = self.timestamp or 0
        return stamp * 1000 if stamp < SECONDS_BELOW else stamp
