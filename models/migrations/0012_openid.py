from tortoise import migrations
from tortoise.migrations import operations as ops
from models.base import new_id
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

class Migration(migrations.Migration):
    dependencies = [('models', '0011_signin')]

    initial = False

    operations = [
        ops.CreateModel(
            name='SignInFlow',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('flow_hash', fields.CharField(unique=True, max_length=64)),
                ('state_hash', fields.CharField(max_length=64)),
                ('provider', fields.CharField(max_length=40)),
                ('issuer', fields.CharField(max_length=500)),
                ('redirect_uri', fields.CharField(max_length=2000)),
                ('verifier', fields.CharField(max_length=128)),
                ('nonce', fields.CharField(max_length=64)),
                ('linking_user', fields.ForeignKeyField('models.User', source_field='linking_user_id', null=True, db_constraint=True, to_field='id', related_name='sign_in_links', on_delete=OnDelete.CASCADE)),
                ('verified_user', fields.ForeignKeyField('models.User', source_field='verified_user_id', null=True, db_constraint=True, to_field='id', related_name='sign_in_flows', on_delete=OnDelete.CASCADE)),
                ('used_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('done_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ('expires_at', fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'sign_in_flow', 'app': 'models', 'indexes': [Index(fields=['linking_user_id']), Index(fields=['verified_user_id'])], 'pk_attr': 'id', 'table_description': 'A person who was sent to a provider and is expected back.'},
            bases=['Row'],
        ),
        ops.CreateModel(
            name='SignInIdentity',
            fields=[
                ('id', fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ('created_at', fields.DatetimeField(auto_now=False, auto_now_add=True)),
                ('user', fields.ForeignKeyField('models.User', source_field='user_id', db_constraint=True, to_field='id', related_name='identities', on_delete=OnDelete.CASCADE)),
                ('provider', fields.CharField(max_length=40)),
                ('issuer', fields.CharField(max_length=500)),
                ('subject', fields.CharField(max_length=255)),
                ('email', fields.CharField(null=True, max_length=320)),
                ('last_used_at', fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={'table': 'sign_in_identity', 'app': 'models', 'unique_together': (('issuer', 'subject'),), 'indexes': [Index(fields=['user_id'])], 'pk_attr': 'id', 'table_description': 'A person as a provider knows them. `issuer` and `subject` together say who it is, for ever.'},
            bases=['Row'],
        ),
    ]
