from tortoise import migrations
from tortoise.migrations import operations as ops
from models.base import new_id
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0009_own_account')]

    initial = False

    operations = [
        ops.CreateModel(
            name='ApiKey',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_constraint=True, to_field='id', related_name='api_keys', on_delete=OnDelete.CASCADE)),
                ('login', fields.ForeignKeyField('models.Login', source_field='login_id', db_constraint=True, to_field='id', related_name='api_keys', on_delete=OnDelete.CASCADE)),
                ('name', fields.CharField(max_length=100)),
                ('key_hash', fields.CharField(unique=True, max_length=64)),
                ('hint', fields.CharField(max_length=8)),
                ('scopes', fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ('last_used_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'api_key', 'app': 'models', 'indexes': [Index(fields=['user_id']), Index(fields=['login_id'])], 'pk_attr': 'id', 'table_description': 'A key of a person, known only by its SHA-256.'},
            bases=['Row'],
        ),
        ops.AddField(
            model_name='Login',
            name='is_key',
            field=fields.BooleanField(default=False, db_default=False),
        ),
    ]
