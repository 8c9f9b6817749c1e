from tortoise import migrations
from tortoise.migrations import operations as ops
from models.base import new_id
from models.chat_message import UngroundedReason
from models.unanswered import UnansweredState
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0006_collections')]

    initial = False

    operations = [
        ops.CreateModel(
            name='ApprovedAnswer',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('question', fields.TextField(unique=False)),
                ('answer', fields.TextField(unique=False)),
                ('vector', fields.BinaryField()),
                ('embedding_model', fields.CharField(max_length=200)),
                ('has_source', fields.BooleanField(default=False)),
                ('document', fields.ForeignKeyField('models.Document', source_field='document_id', null=True, db_constraint=True, to_field='id', related_name='approved_answers', on_delete=OnDelete.SET_NULL)),
                ('title', fields.CharField(default='', max_length=300)),
                ('quote', fields.TextField(default='', unique=False)),
                ('headings', fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ('start_offset', fields.IntField(default=0)),
                ('end_offset', fields.IntField(default=0)),
                ('approved_by', fields.ForeignKeyField('models.User', source_field='approved_by_id', null=True, db_constraint=True, to_field='id', related_name='approved_answers', on_delete=OnDelete.SET_NULL)),
                ('updated_at', fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={'table': 'approved_answer', 'app': 'models', 'pk_attr': 'id', 'table_description': 'The answer that close paraphrases of `question` get at once, without the model.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='UnansweredGroup',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('vector', fields.BinaryField()),
                ('embedding_model', fields.CharField(max_length=200)),
                ('state', fields.CharEnumField(default=UnansweredState.OPEN, description='OPEN: OPEN\nSOLVED: SOLVED\nDISMISSED: DISMISSED', enum_type=UnansweredState, max_length=10)),
                ('updated_at', fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={'table': 'unanswered_group', 'app': 'models', 'indexes': [Index(fields=['state'])], 'pk_attr': 'id', 'table_description': 'Questions that mean about the same.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='UnansweredQuestion',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('group', fields.ForeignKeyField('models.UnansweredGroup', source_field='group_id', db_constraint=True, to_field='id', related_name='questions', on_delete=OnDelete.CASCADE)),
                ('message', fields.ForeignKeyField('models.ChatMessage', source_field='message_id', db_constraint=True, to_field='id', related_name='unanswered', on_delete=OnDelete.CASCADE)),
            ],
            options={'table': 'unanswered_question', 'app': 'models', 'unique_together': (('message',),), 'indexes': [Index(fields=['group_id'])], 'pk_attr': 'id', 'table_description': 'One question of a group. It goes with its message, so nothing of a deleted session stays.'},
            bases=['Row'],
        ),
        ops.AddField(
            model_name='ChatMessage',
            name='ungrounded_reason',
            field=fields.CharEnumField(null=True, description='NO_DOCUMENTS: NO_DOCUMENTS\nNOTHING_FOUND: NOTHING_FOUND\nNOT_RELEVANT_ENOUGH: NOT_RELEVANT_ENOUGH', enum_type=UngroundedReason, max_length=20),
        ),
        ops.AddField(
            model_name='Citation',
            name='headings',
            field=fields.JSONField(default=list, db_default='[]', encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name='User',
            name='language',
            field=fields.CharField(null=True, max_length=2),
        ),
    ]
