"""How the program opens its database: where workers deliver from PostgreSQL, a mark takes its job along."""

from db.database import DEADLINE_S, Database, database_file
from service.settings import WORKER, Settings


def has_queue(settings: Settings) -> bool:
    """Whether a job queue wakes the marks."""
    return settings.relay == WORKER and database_file(settings.database_url) is None


def open_database(settings: Settings, *, deadline_s: float = DEADLINE_S) -> Database:
    """The database of these settings, to be entered. WrongDatabase as `place`."""
    database = Database(settings.database_url, deadline_s=deadline_s)
    if has_queue(settings):
        from service.queue import defer  # noqa: PLC0415 - the queue's package takes 0.4 s that SQLite need not wait for

        database.before_commit(defer)
    return database
