#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A job in shell that knows nothing of syslog: tasklog run --kind import --id run-42 -- ./import.sh
# What it writes is its log, what stands on stderr a warning; tasklog log, progress and end know the task.
set -eu

done=0
tasklog progress total=3
for table in customers orders items; do
    echo "reading $table"
    done=$((done + 1))
    tasklog progress processed=$done
done
echo "items: 2 rows without a price" >&2
tasklog log -p err "items: row 7 was left out"
echo "@task end rows=48210"
