from tortoise import migrations
from tortoise.migrations import operations as ops
from models.base import new_id
from models.ingestion import TaskKind
from models.migration_operations import DialectSQL
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index

# Until now a file's hash was the one of its content.
FOLDER_HASH = "UPDATE document SET folder_hash = content_hash WHERE folder_path IS NOT NULL"


class Migration(migrations.Migration):
    dependencies = [('models', '0004_pages')]

    initial = False

    operations = [
        ops.CreateModel(
            name='IngestionTask',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('document', fields.OneToOneField('models.Document', source_field='document_id', db_constraint=True, to_field='id', related_name='task', on_delete=OnDelete.CASCADE)),
                ('kind', fields.CharEnumField(description='TEXT: TEXT\nFILE: FILE\nSTORED: STORED', enum_type=TaskKind, max_length=10)),
                ('title', fields.CharField(null=True, max_length=300)),
                ('type', fields.CharField(null=True, max_length=60)),
                ('category', fields.CharField(null=True, max_length=60)),
                ('language', fields.CharField(null=True, max_length=10)),
                ('source', fields.CharField(null=True, max_length=1000)),
                ('file_name', fields.CharField(null=True, max_length=300)),
                ('mapping', fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ('payload', fields.BinaryField(null=True)),
                ('attempts', fields.IntField(default=0)),
                ('next_attempt_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'ingestion_task', 'app': 'models', 'indexes': [Index(fields=['next_attempt_at'])], 'pk_attr': 'id', 'table_description': 'The next version of a document, which waits to be indexed.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=200)),
                ('received_at', fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
                ('answer', fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={'table': 'webhook_delivery', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A call of the webhook that was taken, by its webhook-id, with what was answered.'},
            bases=['Model'],
        ),
        ops.AddField(
            model_name='Document',
            name='folder_hash',
            field=fields.CharField(null=True, max_length=64),
        ),
        DialectSQL(sqlite=[FOLDER_HASH], postgres=[FOLDER_HASH]),
        ops.AddField(
            model_name='Document',
            name='key',
            field=fields.CharField(null=True, unique=True, max_length=200),
        ),
        ops.AddIndex(
            model_name='Document',
            index=Index(fields=['content_hash']),
        ),
        ops.AddIndex(
            model_name='Chunk',
            index=Index(fields=['embedding_model', 'document_id']),
        ),
    ]
