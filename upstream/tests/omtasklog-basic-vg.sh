#!/bin/bash
# omtasklog-basic.sh under valgrind: no access that is not allowed, no leak. Released under ASL 2.0.
export USE_VALGRIND="YES"
. ${srcdir:=.}/omtasklog-basic.sh
