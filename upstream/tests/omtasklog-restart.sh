#!/bin/bash
# A task that is open when rsyslogd stops goes on after the restart: its lines wait in the spool, and its row holds
# those of both runs. Oracle: the spool between the runs, the row after them. Released under ASL 2.0.
. ${srcdir:=.}/diag.sh init
. $srcdir/testsuites/omtasklog-common.sh
tasklog_create_table
generate_conf
tasklog_add_conf
startup
injectmsg_literal '<14>1 2026-11-30T10:00:00Z host import run-1 - - before the restart'
shutdown_when_empty
wait_shutdown
tasklog_check "SELECT count(*) FROM task WHERE status = 'COMPLETED' OR complete" 0
grep -rqaF 'before the restart' "$OMTASKLOG_SPOOL" || error_exit 1

export NUMTASKS=1
export QUEUE_EMPTY_CHECK_FUNC=tasklog_have_ended
startup
injectmsg_literal '<14>1 2026-11-30T10:00:08Z host import run-1 - - after the restart
<14>1 2026-11-30T10:00:09Z host import run-1 - - @task end'
shutdown_when_empty
wait_shutdown
tasklog_check 'SELECT task_id, status, lines, complete FROM task' 'run-1|COMPLETED|2|1'
tasklog_check 'SELECT log FROM task' 'before the restart
after the restart
[2026-11-30 10:00:09] Completed: 2 lines, 0 warnings, 0 errors, Total time: 9s'
exit_test
