#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A job in shell whose output becomes a task's log. Usage: preprocess.sh TASK_ID [SOCKET]
# The work is made up; the lines that log are what there is to copy.
set -eu

task_id=$1
socket=${2:-/run/tasklog/log}
processed=0

log() { # log SEVERITY TEXT
    logger -u "$socket" -t "preprocessing[$task_id]" -p "user.$1" -- "$2"
}

# However the script ends, the task ends with it.
finish() {
    status=$?
    if [ "$status" -eq 0 ]; then
        log info "@task end processed=$processed failed=0 total=3"
    else
        log err "Ended with exit status $status"
        log info "@task end status=FAILED processed=$processed total=3"
    fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

log info "Preprocessing started"
for document in evidence questions schema; do
    log info "Reading $document"
    # What a command says goes into the log, too, line by line.
    seq -f "  $document: block %g indexed" 2 2>&1 |
        logger -u "$socket" -t "preprocessing[$task_id]" -p user.info
    sleep 0.1
    processed=$((processed + 1))
    log info "@task progress processed=$processed total=3"
done
log warning "2 questions have no evidence"
