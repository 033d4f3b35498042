"""The schema's history: Alembic, configured in code so that it works from any folder and from the wheel."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from db.database import transaction

HERE = Path(__file__).parent
FIRST = "base"


def head() -> str:
    """The revision this version of Rollcall needs."""
    revision = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert revision is not None
    return revision


def current(tx: Connection) -> str | None:
    """The revision the database is at; None where nothing was migrated yet."""
    if not inspect(tx).has_table("alembic_version"):
        return None
    return tx.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database up to `revision`, in one transaction."""
    with transaction(url) as tx:
        command.upgrade(_config(tx), revision)


def downgrade(url: str, revision: str = FIRST) -> None:
    """Take the database back to `revision`, in one transaction. Data of dropped columns is gone."""
    with transaction(url) as tx:
        command.downgrade(_config(tx), revision)


def _config(tx: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = tx
    return config
