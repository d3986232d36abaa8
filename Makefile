# The one Makefile of tasklog: builds the rsyslog module, runs the tests and the house rules.
# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets. All output goes below build/; a variant (sanitizers, clang, fuzzing) is the same
# build again with another output folder B and other flags. CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR are the
# user's: what the code itself needs is added beside them. V=1 shows the commands.

CFLAGS       ?= -O3 -g -fstack-protector-strong
PREFIX       ?= /usr/local
MULTIARCH     = $(shell dpkg-architecture -qDEB_HOST_MULTIARCH)
MODDIR       ?= /usr/lib/$(MULTIARCH)/rsyslog
UNITDIR      ?= $(PREFIX)/lib/systemd/system
PYTHON       ?= /usr/bin/python3
PYTHONDIR    ?= $(PREFIX)/lib/$(shell $(PYTHON) -c 'import sys; print("python%d.%d" % sys.version_info[:2])')/dist-packages
RSYSLOG_SRC  ?= build/rsyslog-src
FUZZ_SECONDS ?= 600
B            ?= build
SAN          ?=
Q             = $(if $(V),,@)
WERROR       ?= $(if $(filter true,$(CI)),1)

WARN := -Wall -Wextra -Wformat=2 -Wno-format-nonliteral -Wshadow -Wundef -Wvla -Wpointer-arith \
        -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wredundant-decls \
        -Wnested-externs -Wimplicit-fallthrough -Wdouble-promotion -Wdate-time
OUR_CFLAGS := -std=c11 -D_GNU_SOURCE -Iinclude -fPIC -fvisibility=hidden -pthread $(WARN) \
              $(if $(filter 1,$(WERROR)),-Werror)
COMPILE = $(CC) $(CPPFLAGS) $(OUR_CFLAGS) $(CFLAGS) $(SAN) $(EXTRA) -MMD -MP
LINK    = $(CC) $(CFLAGS) $(SAN) $(LDFLAGS) -pthread
LIBS    = -lpq -lsqlite3 -lxxhash

# The headers of rsyslog warn by the dozen, hence -isystem. modInit must be visible; the linker script hides the rest.
PQ_CFLAGS      := $(shell pkg-config --cflags libpq sqlite3 2>/dev/null)
RSYSLOG_CFLAGS := $(patsubst %,-isystem $(RSYSLOG_SRC)%,/ /runtime /grammar) \
                  $(shell pkg-config --cflags libestr libfastjson 2>/dev/null) -fvisibility=default

# --- What there is -----------------------------------------------------------------------------------------------

objects = $(patsubst %.c,$(B)/%.o,$(wildcard $(1)))
tests   = $(patsubst %.c,$(B)/%,$(wildcard tests/$(1)/test_*.c))

LIB         := $(B)/libtasklog.a
MODULE      := $(B)/omtasklog.so
LIB_OBJ     := $(call objects,src/task/*.c src/spool/*.c src/store/*.c src/collector/*.c)
MODULE_OBJ  := $(call objects,src/rsyslog/*.c)
COMMAND     := $(B)/tasklog
# The part of the command that needs a database, which the rest must not load: see src/cli/main.c.
STORE_PART  := $(B)/tasklog-store
STORE_OBJ   := $(patsubst %,$(B)/src/cli/%.o,store_main spool check check_source)
CLI_LIB     := $(B)/libtasklog-cli.a
CLI_OBJ     := $(filter-out $(STORE_OBJ) $(B)/src/cli/main.o,$(call objects,src/cli/*.c))
COMMAND_OBJ := $(CLI_OBJ) $(STORE_OBJ) $(B)/src/cli/main.o
JOURNALD    := $(B)/tasklog-journald
JOURNALD_LIB := $(B)/libtasklog-journald.a
JOURNALD_OBJ := $(call objects,src/journald/*.c)
KAFKA       := $(B)/tasklog-kafka
KAFKA_OBJ   := $(call objects,src/kafka/*.c)
KAFKA_PURE  := $(B)/src/kafka/message.o $(B)/src/kafka/track.o
SUPPORT_OBJ := $(call objects,tests/support/*.c)
UNIT        := $(call tests,unit)
STORE       := $(call tests,store)
FUZZ        := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
# The unit tests of the code that has threads: the queue of the command, and a file of the collector each.
THREADED    := $(filter $(B)/tests/unit/test_collector% $(B)/tests/unit/test_queue $(patsubst src/collector/%.c,$(B)/tests/unit/test_%, \
                 $(wildcard src/collector/*.c)),$(UNIT))
ALL_OBJ     := $(LIB_OBJ) $(MODULE_OBJ) $(COMMAND_OBJ) $(JOURNALD_OBJ) $(KAFKA_OBJ) $(SUPPORT_OBJ) $(UNIT:=.o) $(STORE:=.o) $(FUZZ:%=$(B)/tests/fuzz/%.o)

# Functions that a test puts its own in place of:  WRAP_test_table = -Wl,--wrap=malloc
WRAP_MEMORY         = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup
WRAP_test_torture   = $(WRAP_MEMORY)
WRAP_test_logbuf_spill = $(WRAP_MEMORY)
WRAP_test_row       = $(WRAP_MEMORY)
WRAP_test_collector = $(WRAP_MEMORY) -Wl,--wrap=pthread_create,--wrap=pthread_join,--wrap=getrandom \
                      -Wl,--wrap=tasklog_table_tick
WRAP_FAKE_STORE     = -Wl,--wrap=tasklog_store_new,--wrap=tasklog_store_free,--wrap=tasklog_store_open \
                      -Wl,--wrap=tasklog_store_write,--wrap=tasklog_store_interrupt \
                      -Wl,--wrap=tasklog_store_message,--wrap=tasklog_store_name \
                      -Wl,--wrap=tasklog_store_set_patience
WRAP_test_writer    = $(WRAP_FAKE_STORE) -Wl,--wrap=pthread_cond_timedwait,--wrap=row_batch_add,--wrap=collector_wait
WRAP_test_spool     = -Wl,--wrap=posix_fallocate
WRAP_test_keep      = $(WRAP_FAKE_STORE) -Wl,--wrap=posix_fallocate
WRAP_test_gap       = $(WRAP_FAKE_STORE) -Wl,--wrap=posix_fallocate
WRAP_test_admit     = $(WRAP_FAKE_STORE)

# --- How it is run -----------------------------------------------------------------------------------------------

# cmocka catches SIGSEGV; handle_segv=2 lets the sanitizer's report through all the same.
export ASAN_OPTIONS  = handle_segv=2:detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS = print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS  = halt_on_error=1:second_deadlock_stack=1
export PYTHONDONTWRITEBYTECODE = 1
export PATH := $(PATH):/usr/sbin:/sbin

# A throw-away PostgreSQL for one command. Two at once must not meet: each has a temporary folder (-t: for root, too) and
# a port of its own, and not the pid file in /var/run that all would share.
PG       = PGPORT=$$(shuf -n 1 -i 20000-29999) pg_virtualenv -t -o 'external_pid_file=(none)'
ASAN     = B=build/asan SAN="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1"
TSAN     = B=build/tsan SAN="-fsanitize=thread -fno-omit-frame-pointer -O1"
FUZZING  = B=build/fuzz CC=clang SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all"
PARALLEL = --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
# Older thread sanitizers do not start where the kernel spreads addresses widely.
NO_ASLR  = $(shell setarch -R true 2>/dev/null && echo setarch -R)
STEPS    = deps build check-format check-headers check-layers check-options check-man check-shell check-c unit check-cost sanitize store-test django-test system short-faults
CI_STEPS = $(if $(filter true,$(CI)),clang)

# --- Targets for people ------------------------------------------------------------------------------------------

.PHONY: all help build deps check demo screenshots unit store-test django-test system faults short-faults sanitize fuzz valgrind clang
.PHONY: bench soak check-cost newer-django-test newer-rsyslog-test upstream-test lint check-format check-headers check-layers check-options check-man
.PHONY: check-shell check-c format clean distclean FORCE
.PHONY: install uninstall deb deb-test
.SECONDARY:
.DELETE_ON_ERROR:

all: $(LIB) $(MODULE) $(COMMAND) $(STORE_PART) $(JOURNALD) $(KAFKA) ## build module, command and readers (the default)

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

deps: ## install the Debian packages that are missing
	@tools/deps

check: ## everything: packages, build, house rules, all tests (about a quarter of an hour)
	@began=$$(date +%s); \
	for step in $(STEPS) $(CI_STEPS); do \
	    printf '\n=== %s (after %d s)\n' $$step $$(($$(date +%s) - began)); \
	    $(MAKE) $(PARALLEL) $$step || { printf '\ncheck: failed at "%s"\n' $$step >&2; exit 1; }; \
	done; \
	printf '\ncheck: all passed in %d s\n' $$(($$(date +%s) - began))

demo: ## show it at work on a private rsyslogd and database
	@tools/deps
	@$(MAKE) $(PARALLEL) all
	@tools/demo

screenshots: ## take the pictures of the README anew
	@DEMO=pictures $(MAKE) --no-print-directory demo

build: all $(UNIT) $(STORE) ## build the module and all tests

unit: $(UNIT:=.run) ## unit tests

store-test: $(STORE) ## tests of the stores, against a throw-away PostgreSQL
	@$(if $(STORE),$(PG) tools/run-tests $(STORE))

# Python warns of a module that Django 3.2 imports; every other warning is an error.
DJANGO_TEST = PYTHONPATH=demo:$(NEWER_DJANGO) $(PYTHON) -W error -W "ignore:'cgi' is deprecated" -m django test
CLIENT_TESTS = --settings=tests.client_settings $(addprefix tests.test_,client celery target compat)
ADMIN_TESTS  = --settings=tests.settings $(addprefix tests.test_,models admin viewer prune browser)
django-test: ## tests of the Django app
	@cd django && $(DJANGO_TEST) $(CLIENT_TESTS)
	@cd django && $(DJANGO_TEST) $(ADMIN_TESTS)
	@cd django && DB=postgresql $(PG) env $(DJANGO_TEST) --exclude-tag=browser $(ADMIN_TESTS)

# forky has the newest Django that Debian 12's Python can run.
newer-django-test: ## the same on a newer Django, of DJANGO_SUITE (default: forky)
	@$(MAKE) --no-print-directory NEWER_DJANGO="$$(tools/newer-django $(or $(DJANGO_SUITE),forky))" django-test

PYTEST = $(PYTHON) -m pytest -q -p no:cacheprovider
system: all ## tests with the packaged rsyslogd and PostgreSQL
	@PYTHON=$(PYTHON) $(PG) $(if $(TESTS),$(PYTEST) $(TESTS),tools/run-pytest tests/system)

# build/newer is what fits that rsyslog, and TESTS some files of tests/system.
newer-rsyslog-test: ## the same with another rsyslogd, of RSYSLOG_SUITE (default: sid) or the tree RSYSLOG_TREE
	@root="$$(tools/newer-rsyslog $(or $(RSYSLOG_TREE),$(RSYSLOG_SUITE),sid))" && \
	RSYSLOGD=$$root/sbin/rsyslogd RSYSLOG_MODULES=$$root/lib/rsyslog \
	    $(MAKE) $(PARALLEL) B=build/newer RSYSLOG_SRC=$$root/tree system

upstream-test: ## the module as a contrib module inside rsyslog's own tree, RSYSLOG_SUITE (default: sid) or RSYSLOG_TREE
	@tools/deps autoconf autoconf-archive automake bison flex libtool
	@tools/upstream-test $(or $(RSYSLOG_TREE),$(RSYSLOG_SUITE),sid)

faults: all ## each promise under its fault, FAULT_CYCLES times (default: as promised)
	@$(PG) $(PYTEST) -rP tests/faults

short-faults: all
	@FAULT_CYCLES=$(or $(FAULT_CYCLES),3) PYTHON=$(PYTHON) $(PG) tools/run-pytest tests/faults "not long"

sanitize: ## unit tests under address, undefined behaviour and thread sanitizer
	@$(MAKE) $(PARALLEL) $(ASAN) unit
	@$(MAKE) $(PARALLEL) $(TSAN) RUN="$(NO_ASLR)" threaded

BENCH := $(patsubst %,$(B)/bench/%,blast store_limit core dbd_here.so)
bench: all $(BENCH) ## tasklog beside what it competes with (about ten minutes): build/bench/bench.json, bench.svg
	@tests/bench/peers $(B)/bench/peers
	@$(PG) $(PYTHON) tests/bench/bench.py

$(B)/bench/blast $(B)/bench/core: $(B)/bench/%: $(B)/tests/bench/%.o $(LIB)
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(LINK) -o $@ $^ $(LIBS)

soak: all $(B)/soak/send $(B)/soak/verify ## load and random faults for HOURS (default 1), each row compared: docs/soak.md
	@$(PG) $(PYTHON) tests/soak/soak.py

$(B)/soak/%: $(B)/tests/soak/%.o
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(LINK) -o $@ $^ $(if $(filter verify,$*),-lpq -lsqlite3)

$(B)/bench/store_limit: $(B)/tests/bench/store_limit.o
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(LINK) -o $@ $^ -lpq

$(B)/bench/dbd_here.so: $(B)/tests/bench/dbd_here.o
	@mkdir -p $(@D)
	@echo "  LINK $@"
	$(Q)$(LINK) -shared -o $@ $^

valgrind: ## unit tests under valgrind
	@$(MAKE) $(PARALLEL) RUN="valgrind -q --leak-check=full --error-exitcode=9" unit

fuzz: ## fuzz each parser for FUZZ_SECONDS
	@$(MAKE) $(PARALLEL) $(FUZZING) $(FUZZ:=.fuzz)

clang: ## build everything with clang, warnings are errors
	@$(MAKE) $(PARALLEL) B=build/clang CC=clang WERROR=1 build

lint: check-format check-headers check-layers check-options check-man check-shell ## the house rules

check-format: ## is the code laid out as .clang-format says?
	@tools/check-format

check-headers: $(RSYSLOG_SRC)/config.h ## does each header compile alone?
	@CC="$(CC)" tools/check-headers "$(OUR_CFLAGS) $(PQ_CFLAGS)" "$(RSYSLOG_CFLAGS)"

check-layers: ## do the includes go one way?
	@CC="$(CC)" tools/check-layers

check-options: ## is every parameter, field, counter and sub-command documented?
	@tools/check-options

check-cost: $(B)/bench/core ## how many instructions does a line cost, and is that within the budget?
	@B="$(B)" tools/check-cost

check-man: ## are the manual pages well formed?
	@mandoc -Tlint -Wwarning man/*.[158]

check-shell: ## has shellcheck anything to say?
	@tools/check-shell

check-c: $(RSYSLOG_SRC)/config.h ## have clang-tidy and cppcheck anything to say? (about a minute)
	@tools/check-c "$(OUR_CFLAGS) $(PQ_CFLAGS)" "$(RSYSLOG_CFLAGS)"

format: ## lay the code out anew
	@tools/check-format --fix

INACTIVE = \# Nothing here is active: take the \# away before each line, or lay one of $(PREFIX)/share/tasklog/*.conf here.

# What lies in /etc already is somebody's, and stays.
install: all ## install below DESTDIR: the module to MODDIR, configuration to /etc, the rest to PREFIX
	install -D -m 644 $(MODULE) $(DESTDIR)$(MODDIR)/omtasklog.so
	install -D -m 755 $(COMMAND) $(DESTDIR)$(PREFIX)/bin/tasklog
	install -D -m 755 $(STORE_PART) $(DESTDIR)$(PREFIX)/lib/tasklog/tasklog-store
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,tasklog doc/tasklog/docs doc/tasklog/examples)
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)/etc/rsyslog.d
	for name in tasklog-journald tasklog-kafka; do \
	    install -D -m 755 $(B)/$$name $(DESTDIR)$(PREFIX)/sbin/$$name && \
	    sed 's,/usr/sbin/,$(PREFIX)/sbin/,' conf/systemd/$$name.service >$(DESTDIR)$(UNITDIR)/$$name.service && \
	    install -m 644 conf/systemd/$$name.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/$$name.conf || exit 1; \
	done
	install -D -m 644 conf/completion/tasklog $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tasklog
	for n in 1 5 8; do \
	    install -d $(DESTDIR)$(PREFIX)/share/man/man$$n && \
	    install -m 644 man/*.$$n $(DESTDIR)$(PREFIX)/share/man/man$$n/ || exit 1; \
	done
	install -m 644 conf/*.conf $(DESTDIR)$(PREFIX)/share/tasklog/
	cp -R conf/scale conf/sql $(DESTDIR)$(PREFIX)/share/tasklog/
	cp -R conf/examples/. $(DESTDIR)$(PREFIX)/share/doc/tasklog/examples/
	sed -i 's,/usr/local/bin/tasklog,$(PREFIX)/bin/tasklog,' $(DESTDIR)$(PREFIX)/share/doc/tasklog/examples/*.service
	install -m 644 README.md CHANGELOG.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/tasklog/
	install -m 644 docs/*.md $(DESTDIR)$(PREFIX)/share/doc/tasklog/docs/
	cd django && find tasklog -type f ! -name '*.pyc' -exec install -D -m 644 {} $(abspath $(DESTDIR)$(PYTHONDIR))/{} \;
	[ -e $(DESTDIR)/etc/tasklog/journald.conf ] || \
	    install -D -m 640 conf/journald.conf $(DESTDIR)/etc/tasklog/journald.conf
	[ -e $(DESTDIR)/etc/rsyslog.d/tasklog.conf ] || \
	    sed -e 's/^[^#]/#&/' -e '2a $(INACTIVE)' conf/minimal.conf >$(DESTDIR)/etc/rsyslog.d/tasklog.conf

uninstall: ## remove what install has laid there, but for configuration that was changed
	@rm -rf $(B)/installed && $(MAKE) --no-print-directory DESTDIR=$(B)/installed install >/dev/null
	@tools/uninstall $(B)/installed "$(DESTDIR)"

deb: ## build the Debian packages, into build/deb
	@tools/deb

deb-test: ## install, upgrade, remove and purge the packages in a fresh Debian (needs root)
	@tools/deps debootstrap
	@[ -e build/deb/tasklog_*.changes ] || $(MAKE) --no-print-directory deb
	@tests/packages/run

clean: ## remove what was built (keeps rsyslog's sources)
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name rsyslog-src -exec rm -rf {} +; fi

distclean: ## remove build/
	rm -rf build

# --- Rules -------------------------------------------------------------------------------------------------------

$(LIB): $(LIB_OBJ)
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(MODULE): $(MODULE_OBJ) $(LIB) src/rsyslog/omtasklog.map
	@echo "  LINK $@"
	$(Q)$(LINK) -shared -Wl,--version-script=src/rsyslog/omtasklog.map -o $@ $(filter %.o %.a,$^) $(LIBS)

$(CLI_LIB): $(CLI_OBJ)
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# xxhash goes into it: one library less to load.
$(COMMAND): $(B)/src/cli/main.o $(CLI_LIB) $(LIB)
	@echo "  LINK $@"
	$(Q)$(LINK) -o $@ $^ -l:libxxhash.a

$(STORE_PART): $(STORE_OBJ) $(CLI_LIB) $(LIB)
	@echo "  LINK $@"
	$(Q)$(LINK) -o $@ $^ $(LIBS) -linih

$(JOURNALD_LIB): $(filter-out $(B)/src/journald/main.o,$(JOURNALD_OBJ))
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(JOURNALD): $(B)/src/journald/main.o $(JOURNALD_LIB) $(LIB)
	@echo "  LINK $@"
	$(Q)$(LINK) -o $@ $^ $(LIBS) -linih -lsystemd

$(KAFKA): $(KAFKA_OBJ) $(LIB)
	@echo "  LINK $@"
	$(Q)$(LINK) -o $@ $^ $(LIBS) -linih -lsystemd -lrdkafka

$(UNIT) $(STORE): %: %.o $(SUPPORT_OBJ) $(CLI_LIB) $(JOURNALD_LIB) $(KAFKA_PURE) $(LIB)
	@echo "  LINK $@"
	$(Q)$(LINK) $(WRAP_$(@F)) -o $@ $(filter %.o %.a,$^) -lcmocka $(LIBS) -linih

$(FUZZ:%=$(B)/%): $(B)/%: $(B)/tests/fuzz/%.o $(KAFKA_PURE) $(LIB)
	@echo "  LINK $@"
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $^ $(LIBS)

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@echo "  CC   $@"
	$(Q)$(COMPILE) -c -o $@ $<

$(B)/src/store/%.o: private EXTRA = $(PQ_CFLAGS)
$(B)/src/rsyslog/%.o: private EXTRA = $(RSYSLOG_CFLAGS)
$(B)/tests/%.o: private EXTRA = -Isrc -Itests $(PQ_CFLAGS)
$(MODULE_OBJ): $(RSYSLOG_SRC)/config.h

# Other flags than last time: compile anew.
quoted_flags = '$(subst ','\'',$(COMPILE) $(RSYSLOG_CFLAGS) $(LINK))'
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(quoted_flags) | cmp -s - $@ || printf '%s\n' $(quoted_flags) > $@

# Looked at each time (it is quick): do the headers still fit the installed rsyslog?
$(RSYSLOG_SRC)/config.h: FORCE
	@RSYSLOG_SRC="$(RSYSLOG_SRC)" tools/rsyslog-headers

.PHONY: threaded $(UNIT:=.run) $(FUZZ:=.fuzz)
threaded: $(THREADED:=.run)

$(UNIT:=.run): %.run: %
	@RUN="$(RUN)" tools/run-tests $<

$(FUZZ:=.fuzz): %.fuzz: $(B)/%
	@mkdir -p $(B)/corpus/$*
	@echo "  FUZZ $* for $(FUZZ_SECONDS) s, see $<.log"
	@$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -artifact_prefix=$<- $(B)/corpus/$* \
	    $(wildcard tests/fuzz/corpus/$*) >$<.log 2>&1 || { tail -n 60 $<.log; exit 1; }
	@tail -n 1 $<.log

-include $(ALL_OBJ:.o=.d)
