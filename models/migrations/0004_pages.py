from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields

class Migration(migrations.Migration):
    dependencies = [('models', '0003_message_search')]

    initial = False

    operations = [
        ops.AddField(
            model_name='Chunk',
            name='table_head',
            field=fields.TextField(null=True, unique=False),
        ),
        ops.AddField(
            model_name='Citation',
            name='page',
            field=fields.IntField(null=True),
        ),
        ops.AddField(
            model_name='Document',
            name='pages',
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
    ]
