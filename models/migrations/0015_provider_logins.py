from tortoise import migrations
from tortoise.migrations import operations as ops
from models.base import new_id
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0013_security_events')]

    initial = False

    operations = [
        ops.CreateModel(
            name='SignInLogin',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('login', fields.OneToOneField('models.Login', source_field='login_id', db_constraint=True, to_field='id', related_name='sign_in', on_delete=OnDelete.CASCADE)),
                ('identity', fields.ForeignKeyField('models.SignInIdentity', source_field='identity_id', db_constraint=True, to_field='id', related_name='logins', on_delete=OnDelete.CASCADE)),
                ('sid', fields.CharField(null=True, max_length=255)),
                ('ends_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'sign_in_login', 'app': 'models', 'indexes': [Index(fields=['identity_id']), Index(fields=['sid'])], 'pk_attr': 'id', 'table_description': 'Which identity has made a login, so that it ends with it and when the provider says so.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='SpentLogout',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('token_hash', fields.CharField(unique=True, max_length=64)),
                ('expires_at', fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'spent_logout', 'app': 'models', 'pk_attr': 'id', 'table_description': 'A logout token that has come, so that it does not count again.'},
            bases=['Row'],
        ),
        ops.AddField(
            model_name='SignInFlow',
            name='identity_id',
            field=fields.UUIDField(null=True),
        ),
        ops.AddField(
            model_name='SignInFlow',
            name='login_ends_at',
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name='SignInFlow',
            name='sid',
            field=fields.CharField(null=True, max_length=255),
        ),
    ]
