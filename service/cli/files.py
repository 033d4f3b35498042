"""Files that a command reads or writes, with what can go wrong said in a sentence."""

from pathlib import Path

from service.cli.exits import Misuse


def read_text(file: Path, most: int) -> str:
    """A UTF-8 file of at most so many bytes."""
    try:
        if file.stat().st_size > most:
            raise Misuse(f"{file} is too large: it may have {most:,} bytes")
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Misuse(f"{file} cannot be read: {reason}") from None


def write_text(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Misuse(f"{file} cannot be written: {error.strerror}") from None
