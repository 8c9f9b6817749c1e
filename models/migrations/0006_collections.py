from tortoise import migrations
from tortoise.migrations import operations as ops
from models.base import new_id
from models.collection import GENERAL_ID, Audience
from models.migration_operations import DialectSQL
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index

GENERAL = (
    "INSERT INTO collection (id, created_at, name, audience, roles, updated_at) "
    f"VALUES ('{GENERAL_ID}', {{now}}, 'General', 'PUBLIC', '[]', {{now}})"
)
# SQLite adds no column that refers to a table and has a default: what is there already is moved.
MOVE = f"UPDATE document SET collection_id = '{GENERAL_ID}'"


class Migration(migrations.Migration):
    dependencies = [('models', '0005_ingestion')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Collection',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('name', fields.CharField(unique=True, max_length=80)),
                ('audience', fields.CharEnumField(default=Audience.PUBLIC, description='PUBLIC: PUBLIC\nROLES: ROLES\nNAMED: NAMED', enum_type=Audience, max_length=10)),
                ('roles', fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ('updated_at', fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={'table': 'collection', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A set of documents with one audience. `roles` counts where that is ROLES, the rows of'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='UserGroup',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('name', fields.CharField(unique=True, max_length=80)),
            ],
            options={'table': 'user_group', 'app': 'models', 'pk_attr': 'id', 'table_description': 'People who are named together.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='CollectionMember',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('collection', fields.ForeignKeyField('models.Collection', source_field='collection_id', db_constraint=True, to_field='id', related_name='members', on_delete=OnDelete.CASCADE)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', null=True, db_constraint=True, to_field='id', related_name='collections', on_delete=OnDelete.CASCADE)),
                ('group', fields.ForeignKeyField('models.UserGroup', source_field='group_id', null=True, db_constraint=True, to_field='id', related_name='collections', on_delete=OnDelete.CASCADE)),
            ],
            options={'table': 'collection_member', 'app': 'models', 'unique_together': (('collection', 'user'), ('collection', 'group')), 'indexes': [Index(fields=['user_id']), Index(fields=['group_id'])], 'pk_attr': 'id', 'table_description': 'A person or a group that a collection names: one of the two is set.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='GroupMember',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('group', fields.ForeignKeyField('models.UserGroup', source_field='group_id', db_constraint=True, to_field='id', related_name='members', on_delete=OnDelete.CASCADE)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_constraint=True, to_field='id', related_name='groups', on_delete=OnDelete.CASCADE)),
            ],
            options={'table': 'group_member', 'app': 'models', 'unique_together': (('user', 'group'),), 'indexes': [Index(fields=['group_id', 'id'])], 'pk_attr': 'id', 'table_description': 'A person in a group.'},
            bases=['Row'],
        ),
        ops.AddField(
            model_name='Document',
            name='collection',
            field=fields.ForeignKeyField('models.Collection', source_field='collection_id', null=True, default=GENERAL_ID, db_constraint=True, to_field='id', related_name='documents', on_delete=OnDelete.SET_NULL),
        ),
        # Everybody could see all documents, and still can.
        DialectSQL(
            sqlite=[GENERAL.format(now="strftime('%Y-%m-%d %H:%M:%f+00:00', 'now')"), MOVE],
            postgres=[GENERAL.format(now="now()"), MOVE],
        ),
        ops.AddIndex(
            model_name='Document',
            index=Index(fields=['collection_id', 'deleted_at', 'id']),
        ),
        ops.AddField(
            model_name='ReplyLog',
            name='documents',
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
    ]
