"""Run by Alembic: apply migrations on the connection that `bring_up` gives, in its transaction."""

from alembic import context

from openline.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
context.run_migrations()
