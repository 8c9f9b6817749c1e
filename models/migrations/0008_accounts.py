from tortoise import migrations
from tortoise.migrations import operations as ops
from models.base import new_id
from models.email_token import EmailPurpose
from models.migration_operations import DescribeField
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0007_answers')]

    initial = False

    operations = [
        ops.CreateModel(
            name='Attempt',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('kind', fields.CharField(max_length=20)),
                ('key', fields.CharField(max_length=64)),
            ],
            options={'table': 'attempt', 'app': 'models', 'indexes': [Index(fields=['kind', 'key', 'created_at']), Index(fields=['created_at'])], 'pk_attr': 'id', 'table_description': 'One try of a kind, such as a login. `key` is a hash of what the tries are counted by.'},
            bases=['Row'],
        ),
        DescribeField(
            model_name='EmailToken',
            name='purpose',
            field=fields.CharEnumField(description='VERIFY: VERIFY\nRESET: RESET', enum_type=EmailPurpose, max_length=10),
        ),
        ops.AddField(
            model_name='EmailToken',
            name='display_name',
            field=fields.CharField(null=True, max_length=100),
        ),
        ops.AddField(
            model_name='EmailToken',
            name='password_hash',
            field=fields.CharField(null=True, max_length=200),
        ),
    ]
