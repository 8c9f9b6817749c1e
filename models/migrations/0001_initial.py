from tortoise import migrations
from tortoise.migrations import operations as ops
from models.base import new_id
from models.chat_message import MessageRole, MessageStatus
from models.message_rating import Rating
from models.document import DocumentStatus
from models.email_token import EmailPurpose
from models.reply_log import EventKind
from models.user import Role
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name='Document',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('title', fields.CharField(max_length=300)),
                ('type', fields.CharField(max_length=60)),
                ('category', fields.CharField(max_length=60)),
                ('language', fields.CharField(null=True, max_length=10)),
                ('source', fields.CharField(null=True, max_length=1000)),
                ('folder_path', fields.CharField(null=True, unique=True, max_length=1000)),
                ('content', fields.TextField(unique=False)),
                ('content_hash', fields.CharField(max_length=64)),
                ('status', fields.CharEnumField(default=DocumentStatus.PENDING, description='PENDING: PENDING\nPROCESSING: PROCESSING\nREADY: READY\nFAILED: FAILED', enum_type=DocumentStatus, max_length=10)),
                ('failure', fields.CharField(null=True, max_length=500)),
                ('version', fields.IntField(default=1)),
                ('chunk_count', fields.IntField(default=0)),
                ('updated_at', fields.DatetimeField(auto_now=True, auto_now_add=False)),
                ('deleted_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'document', 'app': 'models', 'indexes': [Index(fields=['deleted_at', 'id'])], 'pk_attr': 'id', 'table_description': 'A document. Offsets of chunks and citations count code points of `content`.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='Chunk',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('document', fields.ForeignKeyField('models.Document', source_field='document_id', db_constraint=True, to_field='id', related_name='chunks', on_delete=OnDelete.CASCADE)),
                ('position', fields.IntField()),
                ('start', fields.IntField()),
                ('end', fields.IntField()),
                ('headings', fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ('text', fields.TextField(unique=False)),
                ('sentence_spans', fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ('vector', fields.BinaryField()),
                ('sentence_vectors', fields.BinaryField()),
                ('embedding_model', fields.CharField(max_length=200)),
            ],
            options={'table': 'chunk', 'app': 'models', 'indexes': [Index(fields=['document_id'])], 'pk_attr': 'id', 'table_description': 'A passage of a document: `text == document.content[start:end]`.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='KnowledgeState',
            fields=[
                ('name', fields.CharField(primary_key=True, unique=True, db_index=True, max_length=20)),
                ('revision', fields.BigIntField(default=0)),
            ],
            options={'table': 'knowledge_state', 'app': 'models', 'pk_attr': 'name', 'table_description': 'Marks, by name.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='OutboxMail',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('to', fields.CharField(max_length=320)),
                ('subject', fields.CharField(max_length=200)),
                ('text', fields.TextField(unique=False)),
                ('html', fields.TextField(unique=False)),
                ('attempts', fields.IntField(default=0)),
                ('next_attempt_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('sent_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('failed_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('last_error', fields.CharField(null=True, max_length=300)),
            ],
            options={'table': 'outbox_mail', 'app': 'models', 'indexes': [Index(fields=['next_attempt_at'])], 'pk_attr': 'id', 'table_description': 'A mail, written in the transaction of what it tells about, and sent by a job.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='User',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('email', fields.CharField(unique=True, max_length=320)),
                ('display_name', fields.CharField(max_length=100)),
                ('role', fields.CharEnumField(default=Role.USER, description='USER: USER\nEDITOR: EDITOR\nADMIN: ADMIN', enum_type=Role, max_length=10)),
                ('password_hash', fields.CharField(max_length=200)),
                ('email_verified_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('updated_at', fields.DatetimeField(auto_now=True, auto_now_add=False)),
            ],
            options={'table': 'user_account', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A person with an account. `email` is in the normal form that logins are looked up by.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='ChatSession',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('owner', fields.ForeignKeyField('models.User', source_field='owner_id', db_constraint=True, to_field='id', related_name='sessions', on_delete=OnDelete.CASCADE)),
                ('title', fields.CharField(max_length=200)),
                ('archived', fields.BooleanField(default=False)),
                ('updated_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'chat_session', 'app': 'models', 'indexes': [Index(fields=['owner_id', 'archived', 'updated_at', 'id']), Index(fields=['updated_at'])], 'pk_attr': 'id', 'table_description': 'A conversation. `updated_at` is its last activity: lists and retention go by it.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='ChatMessage',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('session', fields.ForeignKeyField('models.ChatSession', source_field='session_id', db_constraint=True, to_field='id', related_name='messages', on_delete=OnDelete.CASCADE)),
                ('parent', fields.ForeignKeyField('models.ChatMessage', source_field='parent_id', null=True, db_constraint=True, to_field='id', related_name='children', on_delete=OnDelete.CASCADE)),
                ('active', fields.BooleanField(default=True)),
                ('role', fields.CharEnumField(description='USER: USER\nASSISTANT: ASSISTANT', enum_type=MessageRole, max_length=10)),
                ('status', fields.CharEnumField(description='PENDING: PENDING\nSTREAMING: STREAMING\nCOMPLETE: COMPLETE\nSTOPPED: STOPPED\nINTERRUPTED: INTERRUPTED\nFAILED: FAILED', enum_type=MessageStatus, max_length=12)),
                ('content', fields.TextField(unique=False)),
                ('author', fields.ForeignKeyField('models.User', source_field='author_id', null=True, db_constraint=True, to_field='id', related_name='messages', on_delete=OnDelete.SET_NULL)),
                ('client_key', fields.CharField(null=True, max_length=200)),
                ('search_filter', fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ('grounded', fields.BooleanField(null=True)),
                ('failure', fields.CharField(null=True, max_length=500)),
                ('rating', fields.CharEnumField(null=True, description='UP: UP\nDOWN: DOWN', enum_type=Rating, max_length=4)),
                ('provider', fields.CharField(null=True, max_length=40)),
                ('model', fields.CharField(null=True, max_length=200)),
                ('prompt_tokens', fields.IntField(null=True)),
                ('completion_tokens', fields.IntField(null=True)),
                ('first_token_ms', fields.IntField(null=True)),
                ('total_ms', fields.IntField(null=True)),
                ('ended_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'chat_message', 'app': 'models', 'unique_together': (('author', 'client_key'),), 'indexes': [Index(fields=['session_id', 'active', 'id']), Index(fields=['parent_id']), Index(fields=['status'])], 'pk_attr': 'id', 'table_description': 'A question or a reply. Messages form a tree through `parent`.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='Citation',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('message', fields.ForeignKeyField('models.ChatMessage', source_field='message_id', db_constraint=True, to_field='id', related_name='citations', on_delete=OnDelete.CASCADE)),
                ('number', fields.IntField()),
                ('document', fields.ForeignKeyField('models.Document', source_field='document_id', null=True, db_constraint=True, to_field='id', related_name='citations', on_delete=OnDelete.SET_NULL)),
                ('title', fields.CharField(max_length=300)),
                ('quote', fields.TextField(unique=False)),
                ('start_offset', fields.IntField()),
                ('end_offset', fields.IntField()),
                ('score', fields.FloatField()),
            ],
            options={'table': 'citation', 'app': 'models', 'unique_together': (('message', 'number'),), 'pk_attr': 'id', 'table_description': 'The source behind `[number]` of a reply, as it was when it was cited.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='EmailToken',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_constraint=True, to_field='id', related_name='email_tokens', on_delete=OnDelete.CASCADE)),
                ('purpose', fields.CharEnumField(description='VERIFY: VERIFY', enum_type=EmailPurpose, max_length=10)),
                ('email', fields.CharField(max_length=320)),
                ('token_hash', fields.CharField(unique=True, max_length=64)),
                ('expires_at', fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
                ('used_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'email_token', 'app': 'models', 'indexes': [Index(fields=['user_id'])], 'pk_attr': 'id', 'table_description': 'A one-time token in a mail, known only by its SHA-256. `email` is the address it proves.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='Login',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_constraint=True, to_field='id', related_name='logins', on_delete=OnDelete.CASCADE)),
                ('last_used_at', fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ('expires_at', fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
                ('revoked_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('user_agent', fields.CharField(default='', max_length=300)),
                ('address', fields.CharField(default='', max_length=45)),
            ],
            options={'table': 'login', 'app': 'models', 'indexes': [Index(fields=['user_id'])], 'pk_attr': 'id', 'table_description': 'One sign-in on one device: the family of all refresh tokens that descend from it.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='RefreshToken',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('login', fields.ForeignKeyField('models.Login', source_field='login_id', db_constraint=True, to_field='id', related_name='refresh_tokens', on_delete=OnDelete.CASCADE)),
                ('token_hash', fields.CharField(unique=True, max_length=64)),
                ('expires_at', fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
                ('used_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'refresh_token', 'app': 'models', 'indexes': [Index(fields=['login_id'])], 'pk_attr': 'id', 'table_description': 'A refresh token, known only by the SHA-256 of its text. Used once: `used_at` says when.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='ReplyEvent',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('reply', fields.ForeignKeyField('models.ChatMessage', source_field='reply_id', db_constraint=True, to_field='id', related_name='events', on_delete=OnDelete.CASCADE)),
                ('seq', fields.IntField()),
                ('kind', fields.IntEnumField(description='STARTED: 1\nSOURCES: 2\nDELTA: 3\nENDED: 4', enum_type=EventKind, generated=False)),
                ('text', fields.TextField(null=True, unique=False)),
                ('data', fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={'table': 'reply_event', 'app': 'models', 'unique_together': (('reply', 'seq'),), 'pk_attr': 'id', 'table_description': 'One event of a running reply, committed before anyone sees it.'},
            bases=['Model'],
        ),
        ops.CreateModel(
            name='ReplyLog',
            fields=[
                ('id', fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ('reply', fields.OneToOneField('models.ChatMessage', source_field='reply_id', db_constraint=True, to_field='id', related_name='log', on_delete=OnDelete.CASCADE)),
                ('sources', fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ('delta_ends', fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={'table': 'reply_log', 'app': 'models', 'pk_attr': 'id', 'table_description': 'The events of an ended reply, without their text.'},
            bases=['Model'],
        ),
    ]
