"""E-mail addresses as Rollcall compares them: trimmed, lower case, and plausible (S1.8)."""

import re

LONGEST = 254  # RFC 5321, 4.5.3.1.3 (with the angle brackets, 256)
PLAUSIBLE = re.compile(
    r"[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+@[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f.]+(\.[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f.]+)+"
)


def address(text: str | None) -> str | None:
    """The address in the form it is stored and compared in; None if there is none or it cannot be one."""
    found = (text or "").strip().lower()
    return found if len(found) <= LONGEST and PLAUSIBLE.fullmatch(found) else None
