#!/bin/bash
# What the omtasklog tests share: a database of SQLite with the table of tasks, an action that writes into it, and
# the wait for rows. Released under ASL 2.0.

skip_platform "SunOS" "omtasklog is made for Linux"
skip_platform "FreeBSD" "omtasklog is made for Linux"
check_command_available sqlite3
export TZ=UTC # the summary begins with the local time

export OMTASKLOG_DB="$PWD/$RSYSLOG_DYNNAME.sqlite3"
export OMTASKLOG_SPOOL="$PWD/$RSYSLOG_DYNNAME.spool/tasks"

# $1 is the SQL; prints the rows
tasklog_query() {
	sqlite3 -batch -cmd '.timeout 20000' "$OMTASKLOG_DB" "$1" || error_exit 1
}

# $1 is the SQL, $2 what it must say
tasklog_check() {
	local said
	said=$(tasklog_query "$1") || error_exit 1
	if [ "$said" != "$2" ]; then
		printf 'FAIL: %s\nexpected:\n%s\nhave:\n%s\n' "$1" "$2" "$said"
		error_exit 1
	fi
}

tasklog_create_table() {
	tasklog_query 'CREATE TABLE task (id INTEGER PRIMARY KEY, task_id TEXT UNIQUE, status TEXT, log TEXT, summary TEXT,
		lines INTEGER, complete BOOLEAN)'
}

# The configuration; $1 is added to the parameters of the action.
tasklog_add_conf() {
	# shellcheck disable=SC2016 # $programname is rsyslog's
	add_conf '
module(load="../contrib/omtasklog/.libs/omtasklog")
template(name="text" type="string" string="%msg%")

if $programname == "import" then
	action(type="omtasklog" name="tasks" database="sqlite:'"$OMTASKLOG_DB"'" table="task" mode="upsert"
		columns=["status=status", "log=log", "summary=summary", "lines=lines", "complete=complete"]
		template="text" spool="'"$OMTASKLOG_SPOOL"'" '"$1"')
'
}

# A QUEUE_EMPTY_CHECK_FUNC: the row of an ended task is written after the queue has given its last line away.
# NUMTASKS says how many there will be; the testbench's own limit of time ends the wait.
tasklog_have_ended() {
	[ "$(tasklog_query "SELECT count(*) FROM task WHERE status = 'COMPLETED'")" -ge "$NUMTASKS" ] && return
	"$TESTTOOL_DIR/msleep" 100
	return 1
}
