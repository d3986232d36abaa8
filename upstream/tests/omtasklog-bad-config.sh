#!/bin/bash
# A mistake in an action's parameters: rsyslogd -N1 refuses the configuration, with one message that names the
# action and the mistake, and neither the database nor the spool is touched. Each case is a configuration of its
# own, and the last one, without a mistake, proves that it is the mistake that is refused. Released under ASL 2.0.
. ${srcdir:=.}/diag.sh init
. $srcdir/testsuites/omtasklog-common.sh

check_conf() {
	generate_conf
	tasklog_add_conf "$1"
	../tools/rsyslogd -C -N1 -f"${TESTCONF_NM}.conf" -M../runtime/.libs:../.libs >"$RSYSLOG_DYNNAME.log" 2>&1
}

while IFS='|' read -r parameter message; do
	if check_conf "$parameter"; then
		printf 'FAIL: %s was taken\n' "$parameter"
		error_exit 1
	fi
	content_check "omtasklog: action \"tasks\": $message" "$RSYSLOG_DYNNAME.log"
	if [ "$(grep -cF 'omtasklog: action' "$RSYSLOG_DYNNAME.log")" -ne 1 ]; then
		cat "$RSYSLOG_DYNNAME.log"
		echo 'FAIL: more than one message'
		error_exit 1
	fi
done <<'CASES'
key="id=id"|parameter "key": unknown field "id"
level="loud"|parameter "level": "loud" is not one of emerg alert crit err warning notice info debug
idleTimeout="2h"|parameter "idleTimeout": "2h" is not a whole number of seconds
key="task_id=log"|parameter "columns": column "log" is named twice
CASES
if ! check_conf 'level="debug"'; then
	cat "$RSYSLOG_DYNNAME.log"
	error_exit 1
fi
if [ -e "$OMTASKLOG_DB" ] || [ -e "$OMTASKLOG_SPOOL" ]; then
	echo 'FAIL: the check made a database or a spool'
	error_exit 1
fi
exit_test
