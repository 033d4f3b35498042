"""What people type after a command: words with mentions among them, a reason after "because", whom a name means."""

import re
from dataclasses import dataclass

from sqlalchemy import Connection

from db import oncall_members
from db.oncall_members import Candidate
from handlers.oncall import words
from handlers.oncall.refusal import Refusal
from handlers.registry import Context

ANYWAY = re.compile(r"(?:--|[\u2013\u2014])anyway", re.IGNORECASE)  # some keyboards make one dash of two
_WORD = re.compile(r"<[^<>]*>|\S+")
_BECAUSE = re.compile(r"(?:^|\s)because\b[\s.…:]*", re.IGNORECASE)
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|([^>]*))?>")
_LINK = re.compile(r"<(?:mailto:)?([^|<>]+)(?:\|[^<>]*)?>")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Said:
    """`words` come before "because", `reason` after it; `anyway`: "--anyway" was among the words."""

    words: tuple[str, ...]
    reason: str = ""
    anyway: bool = False


def read(text: str) -> Said:
    """Slack writes &, < and > of what was typed as entities, and mentions as `<@U1|name>`."""
    before, *after = _BECAUSE.split(text, maxsplit=1)
    found = _WORD.findall(before)
    kept = tuple(_plain(word) for word in found if not ANYWAY.fullmatch(word))
    return Said(kept, read_reason(after[0]) if after else "", anyway=len(kept) < len(found))


def _plain(word: str) -> str:
    if _MENTION.fullmatch(word):
        return word
    link = _LINK.fullmatch(word)
    return unescape(link[1] if link else word)


def read_reason(text: str) -> str:
    """As a sentence to show later: whoever is mentioned in it is not called again."""
    said = _MENTION.sub(lambda found: f"@{found[2] or found[1]}", text)
    said = unescape(_LINK.sub(lambda found: found[1], said))
    said = " ".join(_UNPRINTABLE.sub(" ", said).split())
    return words.reason(said)


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def person(tx: Connection, context: Context, said: str) -> int:
    """The row of whom this names: a mention, an address, any id, or a name of one person of the workspace."""
    if _MENTION.fullmatch(said):
        return words.person(tx, said)
    name = said.removeprefix("@").casefold()
    found = [one for one in oncall_members.now(tx, context.workspace_id).values() if name in _names(one)]
    if len(found) > 1:
        among = ", ".join(f"{one.name} ({one.email or one.id})" for one in found)
        raise Refusal(f"{said} may be {among}: write the address, or pick the @mention that Slack offers.")
    return found[0].id if found else words.person(tx, said.removeprefix("@") if "@" in said[1:] else said)


def _names(one: Candidate) -> set[str]:
    """What somebody may be called: the whole name, its parts, and the address before its @."""
    name = one.name.casefold()
    handle = {one.email.partition("@")[0].casefold()} if one.email else set()
    return {name, name.replace(" ", ""), name.replace(" ", "."), *name.split()} | handle
