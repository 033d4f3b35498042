"""Svix signatures over raw bytes, with the library, and without what it lets through or trips over.

The library (svix 2.9, standardwebhooks 1.1) raises on one malformed signature although a later one is
valid, reads `123.9` as a time, and cannot check a body that is not UTF-8: hence the sieve before it.
"""

import base64
import hmac
import re
import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256

from handlers.registry import InvalidSignature

TOLERANCE_S = 300
SHORTEST_KEY = 24  # bytes; Standard Webhooks asks for 24 to 64
SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
DIGITS = re.compile(r"[0-9]{1,12}")
PRINTABLE = re.compile(r"[!-~]{1,256}")
FAMILIES = ("svix", "webhook")


class WrongSecret(ValueError):
    """A signing secret that cannot be one; the message says what it must look like."""


class Verifier:
    """Accepts what any of the secrets signed; several are given while one replaces another."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._keys = [(key_of(secret), _library(secret)) for secret in secrets]

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises InvalidSignature, and nothing else, unless a secret of ours signed these bytes within ±5 min."""
        id_, sent_at, signatures = _signed_headers(headers)
        for key, signed in self._keys:
            if _is_utf8(body):
                ours = signed(body, id_, sent_at, signatures)
            else:
                ours = _verify_bytes(key, id_, sent_at, signatures, body)
            if ours:
                return
        raise InvalidSignature("no signature of ours within the last five minutes")


def message_id(headers: Mapping[str, str]) -> str | None:
    """The id that was signed: a sender repeats it when it sends the same message again."""
    signed = _one_family(headers)
    return signed[0] if signed else None


def key_of(secret: str) -> bytes:
    """The key in `whsec_…`. WrongSecret where the library would quietly take two bytes for a key."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_") + "==", validate=False)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or len(key) < SHORTEST_KEY:
        raise WrongSecret("must be whsec_ and at least 32 base64 characters; copy it from Clerk's webhook page")
    return key


def _library(secret: str) -> Callable[[bytes, str, str, list[str]], bool]:
    """Whether the library finds a body to be signed with this secret."""
    # It brings all of Svix's API, a third of a second that nobody without a secret need wait for.
    from svix.webhooks import Webhook, WebhookVerificationError  # noqa: PLC0415

    webhook = Webhook(secret)

    def signed(body: bytes, id_: str, sent_at: str, signatures: list[str]) -> bool:
        try:
            webhook.verify(body, {"svix-id": id_, "svix-timestamp": sent_at, "svix-signature": " ".join(signatures)})
        except WebhookVerificationError:
            return False
        return True

    return signed


def _signed_headers(headers: Mapping[str, str]) -> tuple[str, str, list[str]]:
    signed = _one_family(headers)
    if signed is None:
        raise InvalidSignature("the signature headers are missing")
    id_, sent_at, signature = signed
    if not DIGITS.fullmatch(sent_at):
        raise InvalidSignature("the timestamp is not a number of seconds")
    if not PRINTABLE.fullmatch(id_):
        raise InvalidSignature("the message id is not printable ASCII")
    signatures = [item for item in signature.split(" ") if SIGNATURE.fullmatch(item)]
    if not signatures:
        raise InvalidSignature("no signature of version 1")
    return id_, sent_at, signatures


def _one_family(headers: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Id, time and signatures from the first complete family of headers; mixed, they would let in an unsigned id."""
    for family in FAMILIES:
        id_, sent_at, signature = (headers.get(f"{family}-{part}") for part in ("id", "timestamp", "signature"))
        if id_ and sent_at and signature:
            return id_, sent_at, signature
    return None


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _verify_bytes(key: bytes, id_: str, sent_at: str, signatures: list[str], body: bytes) -> bool:
    if abs(time.time() - int(sent_at)) > TOLERANCE_S:
        return False
    digest = hmac.new(key, f"{id_}.{sent_at}.".encode() + body, sha256).digest()
    return any(hmac.compare_digest(digest, base64.b64decode(item[3:])) for item in signatures)
