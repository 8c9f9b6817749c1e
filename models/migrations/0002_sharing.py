from tortoise import migrations
from tortoise.migrations import operations as ops
from models.base import new_id
from models.chat_session import AnswerMode, TitleSource
from models.migration_operations import DropColumn
from models.message_rating import Rating
from models.participant import ParticipantRole
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index
from tortoise.migrations.constraints import UniqueConstraint

class Migration(migrations.Migration):
    dependencies = [('models', '0001_initial')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Invitation',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('session', fields.ForeignKeyField('models.ChatSession', source_field='session_id', db_constraint=True, to_field='id', related_name='invitations', on_delete=OnDelete.CASCADE)),
                ('email', fields.CharField(db_index=True, max_length=320)),
                ('role', fields.CharEnumField(description='OWNER: OWNER\nWRITER: WRITER\nREADER: READER', enum_type=ParticipantRole, max_length=10)),
            ],
            options={'table': 'invitation', 'app': 'models', 'unique_together': (('session', 'email'),), 'pk_attr': 'id', 'table_description': 'A share with an address without an account, which becomes a Participant once it has one.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='MessageRating',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('message', fields.ForeignKeyField('models.ChatMessage', source_field='message_id', db_constraint=True, to_field='id', related_name='ratings', on_delete=OnDelete.CASCADE)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_constraint=True, to_field='id', related_name='ratings', on_delete=OnDelete.CASCADE)),
                ('rating', fields.CharEnumField(description='UP: UP\nDOWN: DOWN', enum_type=Rating, max_length=4)),
                ('comment', fields.TextField(null=True, unique=False)),
                ('updated_at', fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={'table': 'message_rating', 'app': 'models', 'unique_together': (('message', 'user'),), 'pk_attr': 'id', 'table_description': "One person's rating of a reply."},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='Participant',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('session', fields.ForeignKeyField('models.ChatSession', source_field='session_id', db_constraint=True, to_field='id', related_name='participants', on_delete=OnDelete.CASCADE)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_constraint=True, to_field='id', related_name='participations', on_delete=OnDelete.CASCADE)),
                ('role', fields.CharEnumField(description='OWNER: OWNER\nWRITER: WRITER\nREADER: READER', enum_type=ParticipantRole, max_length=10)),
                ('archived', fields.BooleanField(default=False)),
                ('pinned', fields.BooleanField(default=False)),
                ('tags', fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ('active_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('read_message_id', fields.UUIDField(null=True)),
                ('read_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'participant', 'app': 'models', 'unique_together': (('session', 'user'),), 'indexes': [Index(fields=['user_id', 'archived', 'active_at', 'id'])], 'pk_attr': 'id', 'table_description': 'A person in a session, and how that person keeps it. No row, no access.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='PublicLink',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('session', fields.ForeignKeyField('models.ChatSession', source_field='session_id', db_constraint=True, to_field='id', related_name='public_links', on_delete=OnDelete.CASCADE)),
                ('reply_id', fields.UUIDField(null=True)),
                ('revoked_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'public_link', 'app': 'models', 'indexes': [Index(fields=['session_id'])], 'pk_attr': 'id', 'table_description': 'A link through which anyone may read a session, or one reply of it, until it is revoked.'},
            bases=['Row'],
        ),
        ops.AddField(
            model_name='ChatMessage',
            name='requested_by',
            field=fields.ForeignKeyField('models.User', source_field='requested_by_id', null=True, db_constraint=True, to_field='id', related_name='requested_replies', on_delete=OnDelete.SET_NULL),
        ),
        DropColumn(model_name='ChatMessage', name='rating'),
        ops.AddConstraint(
            model_name='ChatMessage',
            constraint=UniqueConstraint(fields=('requested_by', 'client_key'), name=None),
        ),
        ops.RemoveIndex(
            model_name='ChatSession',
            name=None,
            fields=['owner_id', 'archived', 'updated_at', 'id'],
        ),
        ops.AddField(
            model_name='ChatSession',
            name='answers',
            field=fields.CharEnumField(default=AnswerMode.ALL, description='ALL: ALL\nADDRESSED: ADDRESSED', db_default='ALL', enum_type=AnswerMode, max_length=10),
        ),
        ops.AddField(
            model_name='ChatSession',
            name='title_source',
            field=fields.CharEnumField(default=TitleSource.QUESTION, description='QUESTION: QUESTION\nMODEL: MODEL\nPERSON: PERSON', db_default='QUESTION', enum_type=TitleSource, max_length=10),
        ),
        # Everyone keeps what is theirs: the owner becomes the first participant. Its id may be the
        # session's, which is as unique.
        ops.RunSQL(
            "INSERT INTO participant "
            "(id, created_at, session_id, user_id, role, archived, pinned, tags, active_at) "
            "SELECT id, created_at, id, owner_id, 'OWNER', archived, FALSE, '[]', updated_at "
            "FROM chat_session",
            reverse_sql=ops.RunSQL.noop,
        ),
        DropColumn(model_name='ChatSession', name='archived'),
        ops.AddIndex(
            model_name='ChatSession',
            index=Index(fields=['owner_id']),
        ),
        # The first messages of a session, to find a first question's edits: without it, that is a
        # search through the whole session.
        ops.RunSQL(
            "CREATE INDEX idx_chat_message_roots ON chat_message (session_id) "
            "WHERE parent_id IS NULL",
            reverse_sql="DROP INDEX idx_chat_message_roots",
        ),
    ]
