"""What the database may say to the rest of the program."""

import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError

WRITE_SQLITE = "write sqlite:///rollcall.db"
WRITE_POSTGRESQL = "write postgresql://user:password@host/rollcall"


class WrongDatabase(ValueError):
    """DATABASE_URL names something Rollcall cannot use; the message says what to write instead."""


class Unavailable(Exception):
    """The database cannot take this now (locked, full, read-only, overloaded): answer 503, try again later."""

    @classmethod
    def because(cls, error: BaseException) -> "Unavailable":
        if isinstance(error, Unavailable):
            return error
        said = error.orig if isinstance(error, DBAPIError) else error
        return cls(f"the database refused: {said}")


# What a statement raises when the database, not the caller, is at fault (locked, full, read-only).
FAULTS = (OperationalError, sqlite3.OperationalError, Unavailable)
