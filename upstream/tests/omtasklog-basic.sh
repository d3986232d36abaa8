#!/bin/bash
# The lines of one task become one row: every line in order, then the summary, with the status COMPLETED and marked
# complete. A line of another program stays out of it. Oracle: the row, which is written in one statement when the
# task has ended. Released under ASL 2.0.
. ${srcdir:=.}/diag.sh init
. $srcdir/testsuites/omtasklog-common.sh
export NUMTASKS=1
export QUEUE_EMPTY_CHECK_FUNC=tasklog_have_ended
tasklog_create_table
generate_conf
tasklog_add_conf
startup
injectmsg_literal '<14>1 2026-11-30T10:00:00.000000Z host import run-1 - - Step 1: reading files
<14>1 2026-11-30T10:00:01.000000Z host export run-1 - - of another program
<11>1 2026-11-30T10:00:02.000000Z host import run-1 - - orders.csv: permission denied
<14>1 2026-11-30T10:00:03.000000Z host import run-1 - - Step 2: "quoted", $!, %msg% and ü
<14>1 2026-11-30T10:00:05.000000Z host import run-1 - - @task end processed=2 failed=0 rows=48210'
shutdown_when_empty
wait_shutdown
tasklog_check 'SELECT task_id, status, lines, complete FROM task' 'run-1|COMPLETED|3|1'
tasklog_check 'SELECT log FROM task' 'Step 1: reading files
orders.csv: permission denied
Step 2: "quoted", $!, %msg% and ü
[2026-11-30 10:00:05] Completed: 2 successful, 0 failed, rows: 48210, Total time: 5s'
tasklog_check "SELECT log LIKE '%' || summary FROM task" 1
exit_test
