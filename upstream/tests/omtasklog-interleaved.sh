#!/bin/bash
# Many tasks log at the same time, and several workers take their lines from the queue: each gets a row of its own
# with all of its lines and no other's. The order is not looked at, as several workers do not keep it. Each task's
# end is sent when its lines have been taken. Oracle: the rows of all tasks. Released under ASL 2.0.
. ${srcdir:=.}/diag.sh init
. $srcdir/testsuites/omtasklog-common.sh
export NUMTASKS=100
export NUMLINES=50
tasklog_create_table
generate_conf
add_conf 'main_queue(queue.workerThreads="4" queue.workerThreadMinimumMessages="100" queue.dequeueBatchSize="64")
'
tasklog_add_conf
startup
awk -v tasks="$NUMTASKS" -v lines="$NUMLINES" 'BEGIN {
	for (line = 1; line <= lines; line++)
		for (task = 1; task <= tasks; task++)
			printf "<14>1 2026-11-30T10:00:00Z host import run-%d - - line %d of %d\n", task, line, task
}' >"$RSYSLOG_DYNNAME.lines"
injectmsg_file "$RSYSLOG_DYNNAME.lines"
wait_queueempty
awk -v tasks="$NUMTASKS" 'BEGIN {
	for (task = 1; task <= tasks; task++)
		printf "<14>1 2026-11-30T10:00:00Z host import run-%d - - @task end\n", task
}' >"$RSYSLOG_DYNNAME.ends"
injectmsg_file "$RSYSLOG_DYNNAME.ends"
export QUEUE_EMPTY_CHECK_FUNC=tasklog_have_ended
shutdown_when_empty
wait_shutdown
tasklog_check 'SELECT count(*), count(DISTINCT task_id), min(lines), max(lines), min(complete) FROM task' \
	"$NUMTASKS|$NUMTASKS|$NUMLINES|$NUMLINES|1"
# each line of each task once: the logs without their summaries, sorted, are what was sent
tasklog_query 'SELECT log FROM task' | grep -v '] Completed: ' | sort >"$RSYSLOG_DYNNAME.have"
sed 's/.* - - //' "$RSYSLOG_DYNNAME.lines" | sort | cmp - "$RSYSLOG_DYNNAME.have" || error_exit 1
# and in the right row
tasklog_check "SELECT count(*) FROM task WHERE length(log) - length(replace(log, ' of ' || substr(task_id, 5) || char(10), ''))
	<> $NUMLINES * length(' of ' || substr(task_id, 5) || char(10))" 0
exit_test
