"""Alembic's way in: on the connection that `migrating` holds, inside its transaction."""

from alembic import context

from gateway.access.store.tables import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
