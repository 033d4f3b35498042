"""The tables of the job queue (procrastinate 3.10), on PostgreSQL alone: SQLite's marks are woken without one.

The SQL beside this file is the package's own `sql/schema.sql`, kept so that this revision means the same for ever. A
test fails when the installed package has another: then its migrations in between become a revision of ours.
"""

from pathlib import Path
from typing import Any

from alembic import op
from sqlalchemy import text

revision = "005"
down_revision = "004"
branch_labels = None
depends_on = None

SCHEMA = Path(__file__).with_suffix(".sql")
TABLES = ("periodic_defers", "events", "jobs", "workers")  # those that point to others first
TYPES = ("job_to_defer_v1", "job_event_type", "job_status")
FUNCTIONS = text(
    "SELECT oid::regprocedure::text FROM pg_proc "
    "WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, 'procrastinate_')"
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # Many statements, with colons and percent signs of their own: they go to the driver as they are.
        raw: Any = op.get_bind().connection.driver_connection
        raw.execute(SCHEMA.read_bytes())


def downgrade() -> None:
    tx = op.get_bind()
    if tx.dialect.name != "postgresql":
        return
    for table in TABLES:
        tx.exec_driver_sql(f"DROP TABLE procrastinate_{table} CASCADE")
    for function in tx.execute(FUNCTIONS).scalars().all():
        tx.exec_driver_sql(f"DROP FUNCTION {function} CASCADE")
    for type_ in TYPES:
        tx.exec_driver_sql(f"DROP TYPE procrastinate_{type_}")
