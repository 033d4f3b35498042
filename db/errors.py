"""What the database may say to the rest of the program."""

from sqlalchemy.exc import DBAPIError


class WrongDatabase(ValueError):
    """DATABASE_URL names something Rollcall cannot use; the message says what to write instead."""


class Unavailable(Exception):
    """The database cannot take this now (locked, full, read-only, overloaded): answer 503, try again later."""

    @classmethod
    def from_driver(cls, error: DBAPIError) -> "Unavailable":
        return cls(f"the database refused: {error.orig}")
