"""What Alembic runs: our migrations, in the transaction `db.database` has begun."""

from alembic import context

from db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the transaction is ours
    render_as_batch=True,
)
context.run_migrations()
