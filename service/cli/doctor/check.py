"""What a check says: how it went, what was found, what to fix; never a secret, never an address."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import SecretStr

from db.database import Unavailable
from handlers.registry import Refused, SinkDown, Throttled
from service.settings import Settings

DATABASE_FIX = "look at the file, its disk and its permissions, and at who holds it"
DEADLINE_S = 60.0  # for all questions to one platform
ADDRESS = re.compile(r"[^\s'\"<>(),;:]+@[^\s'\"<>(),;:]+")


class Level(StrEnum):
    """`off`: not configured, so not checked. Only `failed` makes the doctor end with 1."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    level: Level
    found: str
    fix: str | None = None


def ok(name: str, found: str) -> Check:
    return Check(name, Level.OK, found)


def warning(name: str, found: str, fix: str) -> Check:
    return Check(name, Level.WARNING, found, fix)


def failed(name: str, found: str, fix: str) -> Check:
    return Check(name, Level.FAILED, found, fix)


def off(name: str, found: str) -> Check:
    return Check(name, Level.OFF, found)


async def guarded(name: str, checks: Callable[[], Awaitable[list[Check]]], fix: str) -> list[Check]:
    """What these checks say; whatever they raise is one more thing found, under `name`."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await checks()
    except Throttled as error:
        return [failed(name, str(error), f"wait {error.retry_after_s:.0f} s, then run the doctor again")]
    except (SinkDown, Refused) as error:
        return [failed(name, str(error), fix)]
    except Unavailable as error:
        return [failed(name, str(error), DATABASE_FIX)]
    except TimeoutError:
        return [failed(name, f"no answer within {DEADLINE_S:.0f} s", fix)]
    except Exception as error:  # noqa: BLE001 - the other checks are still wanted
        return [failed(name, f"unexpected: {type(error).__name__}: {error}", fix)]


def discreet(checks: list[Check], settings: Settings | None) -> list[Check]:
    """The checks with every secret of ours and everything like an address blotted out, whoever quoted it."""
    secrets = _secrets(settings) if settings else []

    def blot(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "(secret)")
        return ADDRESS.sub("(address)", text)

    return [replace(one, found=blot(one.found), fix=one.fix and blot(one.fix)) for one in checks]


def _secrets(settings: Settings) -> list[str]:
    found: list[str] = []
    for name in type(settings).model_fields:
        held = getattr(settings, name)
        several = held if isinstance(held, tuple) else (held,)
        found.extend(one.get_secret_value() for one in several if isinstance(one, SecretStr))
    return [secret for secret in found if secret]
