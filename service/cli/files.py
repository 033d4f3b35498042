"""Files that a command reads or writes, with what can go wrong said in a sentence."""

from pathlib import Path

from service.cli.exits import Misuse

BYTES_A_CHARACTER = 4  # at most


def read_text(file: Path, what: str, longest: int) -> str:
    """A UTF-8 file, which is to be `what` and may have so many characters."""
    try:
        if file.stat().st_size > BYTES_A_CHARACTER * longest:
            raise Misuse(f"{file} is too large for {what}: it may have {longest:,} characters")
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Misuse(f"{file} cannot be read: {reason}") from None


def write_text(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Misuse(f"{file} cannot be written: {error.strerror}") from None
