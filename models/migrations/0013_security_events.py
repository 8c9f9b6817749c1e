from tortoise import migrations
from tortoise.migrations import operations as ops
from models.base import new_id
from models.migration_operations import DescribeField, DialectSQL
from tortoise import fields
from tortoise.indexes import Index

# The texts of created_at begin with the day, so they compare with one. A statement that is refused
# undoes its transaction. 30 is models.security_event.KEPT_DAYS.
SQLITE = [
    "CREATE TRIGGER security_event_update BEFORE UPDATE ON security_event "
    "BEGIN SELECT RAISE(ABORT, 'security events are never changed'); END",
    "CREATE TRIGGER security_event_delete BEFORE DELETE ON security_event "
    "WHEN OLD.created_at >= date('now', '-30 days') "
    "BEGIN SELECT RAISE(ABORT, 'security events are kept for 30 days'); END",
    # INSERT OR REPLACE deletes without the trigger above.
    "CREATE TRIGGER security_event_insert BEFORE INSERT ON security_event "
    "WHEN EXISTS (SELECT 1 FROM security_event WHERE id = NEW.id) "
    "BEGIN SELECT RAISE(ABORT, 'security events are never changed'); END",
]
POSTGRES = [
    """
    CREATE FUNCTION refuse_security_event() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            RAISE EXCEPTION 'security events are never changed' USING ERRCODE = '23001';
        ELSIF TG_OP = 'DELETE' THEN
            IF OLD.created_at < now() - interval '30 days' THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'security events are kept for 30 days' USING ERRCODE = '23001';
    END
    $$
    """,
    "CREATE TRIGGER security_event_change BEFORE UPDATE OR DELETE ON security_event "
    "FOR EACH ROW EXECUTE FUNCTION refuse_security_event()",
    "CREATE TRIGGER security_event_truncate BEFORE TRUNCATE ON security_event "
    "FOR EACH STATEMENT EXECUTE FUNCTION refuse_security_event()",
]


class Migration(migrations.Migration):
    dependencies = [('models', '0012_openid')]

    initial = False

    operations = [
        ops.CreateModel(
            name='SecurityEvent',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('kind', fields.CharField(max_length=40)),
                ('outcome', fields.CharField(max_length=10)),
                ('actor_id', fields.UUIDField(null=True)),
                ('api_key_id', fields.UUIDField(null=True)),
                ('concerns_id', fields.UUIDField(null=True)),
                ('object_type', fields.CharField(null=True, max_length=20)),
                ('object_id', fields.UUIDField(null=True)),
                ('detail', fields.CharField(default='', max_length=200)),
                ('address', fields.CharField(default='', max_length=45)),
                ('device', fields.CharField(default='', max_length=300)),
                ('request_id', fields.CharField(default='', max_length=100)),
            ],
            options={'table': 'security_event', 'app': 'models', 'indexes': [Index(fields=['actor_id']), Index(fields=['concerns_id']), Index(fields=['created_at'])], 'pk_attr': 'id', 'table_description': 'One event. Rows are only added: triggers refuse to change one, and to delete one that is'},
            bases=['Row'],
        ),
        DialectSQL(sqlite=SQLITE, postgres=POSTGRES),
        # SQLite takes a text of any length.
        DescribeField(
            model_name='SecondFactor', name='secret', field=fields.CharField(max_length=200)
        ),
        DialectSQL(
            sqlite=[],
            postgres=['ALTER TABLE second_factor ALTER COLUMN secret TYPE VARCHAR(200)'],
        ),
        ops.AddField(
            model_name='EmailToken', name='network', field=fields.CharField(null=True, max_length=45)
        ),
    ]
