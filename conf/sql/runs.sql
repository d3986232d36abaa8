-- SPDX-License-Identifier: Apache-2.0
--
-- What the role needs to write the table of the Django app as conf/django.conf says. By the table's owner:
--
--     psql -d app -v ON_ERROR_STOP=1 -f conf/sql/runs.sql
--
-- SELECT: of the columns that find a row, and of the log, to which late lines are appended. No other column can
-- be read, and no row deleted.

GRANT SELECT (kind, task_id, start_time, log),
      INSERT (kind, task_id, start_time, status, host, end_time, duration, processed, failed, total, lines, bytes,
              warnings, errors, end_reason, complete, updated_at, first_error, counters, summary, log),
      UPDATE (status, host, end_time, duration, processed, failed, total, lines, bytes,
              warnings, errors, end_reason, complete, updated_at, first_error, counters, summary, log)
   ON tasklog_taskrun TO tasklog;

-- Django before 4.1 numbers rows from a sequence that the insert itself must be allowed to use.
SELECT format('GRANT USAGE ON SEQUENCE %s TO tasklog', pg_get_serial_sequence('tasklog_taskrun', 'id'))
  FROM information_schema.columns
 WHERE table_name = 'tasklog_taskrun' AND column_name = 'id' AND column_default LIKE 'nextval%'
\gexec
