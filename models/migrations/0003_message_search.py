"""The full-text index of messages; models/message_search.py reads it and says how it is made."""

from tortoise import migrations

from models.migration_operations import DialectSQL

REMOVE = """
    INSERT INTO message_search (message_search, rowid, content)
        SELECT 'delete', id, OLD.content FROM message_search_key WHERE message_id = OLD.id;
    DELETE FROM message_search_key WHERE message_id = OLD.id;
"""
ADD = """
    INSERT INTO message_search_key (message_id, session_id)
        SELECT NEW.id, NEW.session_id WHERE NEW.content <> '';
    INSERT INTO message_search (rowid, content)
        SELECT id, NEW.content FROM message_search_key WHERE message_id = NEW.id;
"""


class Migration(migrations.Migration):
    dependencies = [("models", "0002_sharing")]

    initial = False

    operations = [
        DialectSQL(
            sqlite=[
                # VACUUM may number the rows of chat_message anew, but never an INTEGER PRIMARY KEY.
                'CREATE TABLE "message_search_key" ('
                '"id" INTEGER PRIMARY KEY, '
                '"message_id" CHAR(36) NOT NULL UNIQUE, '
                '"session_id" CHAR(36) NOT NULL)',
                # The text itself stays where it is.
                "CREATE VIEW message_search_source AS "
                "SELECT key.id AS id, message.content AS content FROM message_search_key AS key "
                "JOIN chat_message AS message ON message.id = key.message_id",
                "CREATE VIRTUAL TABLE message_search USING fts5("
                "content, content='message_search_source', content_rowid='id', columnsize=0, "
                "tokenize='unicode61 remove_diacritics 2')",
                "INSERT INTO message_search_key (message_id, session_id) "
                "SELECT id, session_id FROM chat_message WHERE content <> '' ORDER BY id",
                "INSERT INTO message_search (message_search) VALUES ('rebuild')",
                "CREATE TRIGGER message_search_insert AFTER INSERT ON chat_message "
                f"WHEN NEW.content <> '' BEGIN {ADD} END",
                "CREATE TRIGGER message_search_update AFTER UPDATE OF content ON chat_message "
                f"WHEN OLD.content <> NEW.content BEGIN {REMOVE} {ADD} END",
                "CREATE TRIGGER message_search_delete AFTER DELETE ON chat_message "
                f"WHEN OLD.content <> '' BEGIN {REMOVE} END",
            ],
            postgres=[
                # What unaccent would do, but for letters only that Unicode takes apart; it needs no
                # extension, and so no right to make one. ASCII punctuation separates words, since
                # the parser would keep addresses, paths and numbers whole, and drop what looks like
                # a tag. A text beyond the limit of tsvector would be refused, and the reply with it.
                r"""
                CREATE FUNCTION message_search_text(content text) RETURNS text
                LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
                    SELECT pg_catalog.regexp_replace(
                        pg_catalog.regexp_replace(
                            normalize(pg_catalog.left(content, 200000), NFD),
                            '[\u0300-\u036f]', '', 'g'),
                        '[!-/:-@\[-`{-~\u00a0-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf'
                        '\u2000-\u206f\u3000-\u303f]+', ' ', 'g')
                $$
                """,
                "ALTER TABLE chat_message ADD COLUMN search_words tsvector GENERATED ALWAYS AS "
                "(to_tsvector('pg_catalog.simple', message_search_text(content))) STORED",
                "CREATE INDEX message_search ON chat_message USING gin (search_words)",
            ],
        ),
    ]
