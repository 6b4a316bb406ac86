"""The triggers that count what each owner has stored, in the same transaction as whatever changes it.

They also see what no statement of ours names: the rows that a deleted session takes along. So the counts are right
after a deletion, an import, a rollback and a crash, and a prompt reads one row instead of summing up. What can be
restored is counted for nobody: deletions on several nodes would lock one row, each in another order. A migration that
copies one of these tables has to create its triggers again: SQLite drops them with the old table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.chat.quotas import MESSAGE_BYTES
from app.history.statements.tables import DELETED

_SQLITE = """
CREATE TRIGGER usage_message_added AFTER INSERT ON messages BEGIN
  UPDATE sessions SET bytes = bytes + $MESSAGE
    + length(CAST(NEW.content AS BLOB)) + length(CAST(NEW.reasoning AS BLOB)) WHERE session_id = NEW.session_id;
END;;
CREATE TRIGGER usage_message_changed AFTER UPDATE OF content, reasoning ON messages BEGIN
  UPDATE sessions SET bytes = bytes
    + length(CAST(NEW.content AS BLOB)) + length(CAST(NEW.reasoning AS BLOB))
    - length(CAST(OLD.content AS BLOB)) - length(CAST(OLD.reasoning AS BLOB)) WHERE session_id = NEW.session_id;
END;;
CREATE TRIGGER usage_message_removed AFTER DELETE ON messages BEGIN
  UPDATE sessions SET bytes = bytes - $MESSAGE
    - length(CAST(OLD.content AS BLOB)) - length(CAST(OLD.reasoning AS BLOB)) WHERE session_id = OLD.session_id;
END;;
CREATE TRIGGER usage_image_added AFTER INSERT ON images BEGIN
  UPDATE sessions SET bytes = bytes + NEW.size WHERE session_id = NEW.session_id;
END;;
CREATE TRIGGER usage_image_removed AFTER DELETE ON images BEGIN
  UPDATE sessions SET bytes = bytes - OLD.size WHERE session_id = OLD.session_id;
END;;
CREATE TRIGGER usage_session_added AFTER INSERT ON sessions WHEN NEW.owner <> $DELETED BEGIN
  INSERT INTO usage (owner, sessions, bytes)
    VALUES (NEW.owner, 1, NEW.bytes + coalesce(length(CAST(NEW.options AS BLOB)), 0))
    ON CONFLICT (owner) DO UPDATE SET sessions = sessions + 1, bytes = bytes + excluded.bytes;
END;;
CREATE TRIGGER usage_session_changed AFTER UPDATE OF bytes, options ON sessions WHEN NEW.owner = OLD.owner BEGIN
  UPDATE usage SET bytes = bytes
    + NEW.bytes + coalesce(length(CAST(NEW.options AS BLOB)), 0)
    - OLD.bytes - coalesce(length(CAST(OLD.options AS BLOB)), 0) WHERE owner = NEW.owner;
END;;
CREATE TRIGGER usage_owner_changed AFTER UPDATE OF owner ON sessions WHEN NEW.owner <> OLD.owner BEGIN
  INSERT INTO usage (owner, sessions, bytes)
    SELECT NEW.owner, 1, NEW.bytes + coalesce(length(CAST(NEW.options AS BLOB)), 0) WHERE NEW.owner <> $DELETED
    ON CONFLICT (owner) DO UPDATE SET sessions = sessions + 1, bytes = bytes + excluded.bytes;
  UPDATE usage SET sessions = sessions - 1,
    bytes = bytes - OLD.bytes - coalesce(length(CAST(OLD.options AS BLOB)), 0) WHERE owner = OLD.owner;
  DELETE FROM usage WHERE owner = OLD.owner AND sessions <= 0;
END;;
CREATE TRIGGER usage_session_removed AFTER DELETE ON sessions BEGIN
  UPDATE usage SET sessions = sessions - 1,
    bytes = bytes - OLD.bytes - coalesce(length(CAST(OLD.options AS BLOB)), 0) WHERE owner = OLD.owner;
  DELETE FROM usage WHERE owner = OLD.owner AND sessions <= 0;
END
"""
_POSTGRESQL = """
CREATE OR REPLACE FUNCTION tailrace_count_message() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'INSERT' THEN
    UPDATE sessions SET bytes = bytes + $MESSAGE + octet_length(NEW.content) + octet_length(NEW.reasoning)
      WHERE session_id = NEW.session_id;
  ELSIF TG_OP = 'UPDATE' THEN
    UPDATE sessions SET bytes = bytes + octet_length(NEW.content) + octet_length(NEW.reasoning)
      - octet_length(OLD.content) - octet_length(OLD.reasoning) WHERE session_id = NEW.session_id;
  ELSE
    UPDATE sessions SET bytes = bytes - $MESSAGE - octet_length(OLD.content) - octet_length(OLD.reasoning)
      WHERE session_id = OLD.session_id;
  END IF;
  RETURN NULL;
END $$;;
CREATE OR REPLACE FUNCTION tailrace_count_image() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'INSERT' THEN
    UPDATE sessions SET bytes = bytes + NEW.size WHERE session_id = NEW.session_id;
  ELSE
    UPDATE sessions SET bytes = bytes - OLD.size WHERE session_id = OLD.session_id;
  END IF;
  RETURN NULL;
END $$;;
CREATE OR REPLACE FUNCTION tailrace_count_session() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'UPDATE' AND NEW.owner = OLD.owner THEN
    UPDATE usage SET bytes = bytes
      + NEW.bytes + coalesce(octet_length(NEW.options), 0)
      - OLD.bytes - coalesce(octet_length(OLD.options), 0) WHERE owner = NEW.owner;
    RETURN NULL;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO usage (owner, sessions, bytes)
      SELECT NEW.owner, 1, NEW.bytes + coalesce(octet_length(NEW.options), 0) WHERE NEW.owner <> $DELETED
      ON CONFLICT (owner) DO UPDATE SET sessions = usage.sessions + 1, bytes = usage.bytes + excluded.bytes;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    UPDATE usage SET sessions = sessions - 1,
      bytes = bytes - OLD.bytes - coalesce(octet_length(OLD.options), 0) WHERE owner = OLD.owner;
    DELETE FROM usage WHERE owner = OLD.owner AND sessions <= 0;
  END IF;
  RETURN NULL;
END $$;;
CREATE TRIGGER usage_message AFTER INSERT OR DELETE OR UPDATE OF content, reasoning ON messages
  FOR EACH ROW EXECUTE FUNCTION tailrace_count_message();;
CREATE TRIGGER usage_image AFTER INSERT OR DELETE ON images
  FOR EACH ROW EXECUTE FUNCTION tailrace_count_image();;
CREATE TRIGGER usage_session AFTER INSERT OR DELETE OR UPDATE OF owner, bytes, options ON sessions
  FOR EACH ROW EXECUTE FUNCTION tailrace_count_session()
"""
TRIGGERS: Mapping[str, Sequence[str]] = {
    dialect: script.strip().replace("$MESSAGE", str(MESSAGE_BYTES)).replace("$DELETED", deleted).split(";;\n")
    for dialect, script, deleted in (
        ("sqlite", _SQLITE, f"(char({ord(DELETED[0])}) || '{DELETED[1:]}')"),
        ("postgresql", _POSTGRESQL, f"(chr({ord(DELETED[0])}) || '{DELETED[1:]}')"),
    )
}
