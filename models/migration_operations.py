"""Operations of migrations that Tortoise lacks."""

from __future__ import annotations

from tortoise.migrations.operations import RemoveField
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State


class DropColumn(RemoveField):
    """Removes a column with the database's own statement.

    On SQLite, Tortoise's RemoveField makes the table anew and drops the old one. That loses the
    indexes, and with foreign keys on it deletes every row that refers to the table.
    """

    async def database_forward(
        self,
        app_label: str,
        old_state: State,
        new_state: State,
        state_editor: BaseSchemaEditor | None = None,
    ) -> None:
        if state_editor is None:
            return
        assert old_state.apps is not None
        meta = old_state.apps.get_model(f"{app_label}.{self.model_name}")._meta
        column = meta.fields_db_projection[self.name]
        await state_editor._run_sql(f'ALTER TABLE "{meta.db_table}" DROP COLUMN "{column}"')
