"""Operations of migrations that Tortoise lacks."""

from __future__ import annotations

from collections.abc import Sequence

from tortoise.migrations.operations import AlterField, Operation, RemoveField
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


class DescribeField(AlterField):
    """Changes what the models say of a column, such as the values of an enum, and no table.

    On SQLite, Tortoise's AlterField makes the table anew, which loses the indexes.
    """

    async def database_forward(
        self,
        app_label: str,
        old_state: State,
        new_state: State,
        state_editor: BaseSchemaEditor | None = None,
    ) -> None:
        """Nothing changes in the database."""


class DialectSQL(Operation):
    """Executes statements of each dialect's own, whole and one by one.

    On SQLite, RunSQL splits what it gets at each ";", and a trigger has some inside.
    """

    reversible = False

    def __init__(self, *, sqlite: Sequence[str], postgres: Sequence[str]) -> None:
        self._statements = {"sqlite": sqlite, "postgres": postgres}

    def state_forward(self, app_label: str, state: State) -> None:
        """The models know nothing of it."""

    async def database_forward(
        self,
        app_label: str,
        old_state: State,
        new_state: State,
        state_editor: BaseSchemaEditor | None = None,
    ) -> None:
        if state_editor is None:
            return
        for statement in self._statements[state_editor.client.capabilities.dialect]:
            if state_editor.collect_sql:
                state_editor.collected_sql.append(statement)
            else:
                await state_editor.client.execute_query(statement)
