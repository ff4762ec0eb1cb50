#!/bin/bash
set -euo pipefail

cat > /workspace/migrate.sql <<'SQL'
BEGIN;

CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE entries (id INTEGER PRIMARY KEY, day TEXT NOT NULL, note TEXT);
CREATE TABLE postings (
  entry_id INTEGER NOT NULL REFERENCES entries,
  account_id INTEGER NOT NULL REFERENCES accounts,
  cents INTEGER NOT NULL
);

CREATE TEMP VIEW tidy AS
SELECT
  line,
  entry,
  CASE WHEN day LIKE '__.__.____' THEN substr(day, 7) || '-' || substr(day, 4, 2) || '-' || substr(day, 1, 2) ELSE day END AS day,
  CASE WHEN upper(trim(account)) = 'VAT' THEN 'VAT'
    ELSE upper(substr(trim(account), 1, 1)) || lower(substr(trim(account), 2)) END AS name,
  -- An amount is far below 2^53 cents, so that rounding gives the cents that were meant.
  CAST(round(CAST(amount AS REAL) * 100) AS INTEGER) AS cents,
  nullif(trim(note), '') AS note
FROM journal;

INSERT INTO accounts (name) SELECT DISTINCT name FROM tidy ORDER BY name;
INSERT INTO entries
SELECT entry, day, note FROM tidy WHERE line = (SELECT min(line) FROM journal WHERE journal.entry = tidy.entry);
INSERT INTO postings
SELECT entry, accounts.id, cents FROM tidy JOIN accounts USING (name) WHERE cents <> 0 ORDER BY line;

DROP VIEW tidy;
DROP TABLE journal;

CREATE VIEW balances AS
SELECT name, coalesce(sum(cents), 0) AS cents
FROM accounts LEFT JOIN postings ON account_id = accounts.id
GROUP BY accounts.id ORDER BY accounts.id;

COMMIT;
SQL

rm -f /workspace/ledger.db
sqlite3 -bail /workspace/ledger.db < /workspace/journal.sql
sqlite3 -bail /workspace/ledger.db < /workspace/migrate.sql
