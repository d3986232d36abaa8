-- SPDX-License-Identifier: Apache-2.0
--
-- The role that rsyslogd or tasklog-journald writes with. By a superuser, in the database of the table:
--
--     psql -d app -v ON_ERROR_STOP=1 -f conf/sql/role.sql
--
-- It owns nothing and may only connect. Each table that it writes grants it what that takes: runs.sql does so
-- for the table of the Django app; for another one `tasklog check` prints the statements.
-- An action takes one connection, and now and then a second one: for large batches, until it has not been used for
-- a minute, and for a moment when a statement of the first hangs.

CREATE ROLE tasklog LOGIN NOINHERIT NOCREATEDB NOCREATEROLE NOSUPERUSER CONNECTION LIMIT 20;
GRANT CONNECT ON DATABASE :"DBNAME" TO tasklog;
GRANT USAGE ON SCHEMA public TO tasklog;
