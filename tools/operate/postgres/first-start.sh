#!/bin/sh
# Run by PostgreSQL's image once, in an empty database system: the roles that are not the administrator.
# In:  PGDATA, and the passwords as files DATABASE_PASSWORD_FILE and BACKUP_PASSWORD_FILE.
set -eu

# psql reads the passwords itself: no process list shows them, and no log.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname postgres <<'SQL'
\set gateway `cat "$DATABASE_PASSWORD_FILE"`
\set backup `cat "$BACKUP_PASSWORD_FILE"`
set log_statement to none;
set log_min_error_statement to panic;
-- The gateway owns its database and nothing else. That is enough to migrate it, its extensions too.
create role messenger login password :'gateway';
create database messenger owner messenger;
revoke all on database messenger from public;
-- The backup may read the whole system and change nothing.
create role backup login replication password :'backup';
SQL

# The image lets roles with a password into databases from other containers, but not into replication, which backups use.
echo 'host replication backup all scram-sha-256' >> "$PGDATA/pg_hba.conf"
