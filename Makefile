# Penstock: one Makefile, not recursive. `make help` lists the targets from their comments.
#
# A mode is a build folder: build/debug, build/release, build/asan, build/tsan, build/cov. `make MODE=asan unit` works for
# any of them; B=… puts the folder elsewhere.

MODE ?= release
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
B ?= build/$(MODE)
export B MODE CC
PREFIX ?= /usr/local
VENV ?= build/venv

# ---- flags ----
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wmissing-prototypes -Wformat=2 -Werror
# Bit-reproducible arithmetic: no contraction into FMA, no fast-math (design: identity).
NUMERIC := -ffp-contract=off -fno-fast-math
CFLAGS_debug := -O0 -g
# gcc would clear structs with `rep stos`, whose start costs more than what it clears; other compilers don't.
CLEAR := -mmemset-strategy=unrolled_loop:256:noalign,libcall:-1:noalign
CFLAGS_release := -O2 -g -fno-plt $(shell echo | $(CC) -E -Werror $(CLEAR) - >/dev/null 2>&1 && echo $(CLEAR))
# gcc's format checks misread what the sanitizer adds.
CFLAGS_asan := $(if $(findstring clang,$(CC)),,-Wno-format-truncation) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan := -O1 -g -fsanitize=thread -DTSAN
CFLAGS_cov := -O0 -g --coverage
CFLAGS_ALL = -std=c17 -D_GNU_SOURCE -I. -I$(B)/gen $(WARN) $(NUMERIC) -fPIE $(CFLAGS_$(MODE)) $(CFLAGS) -MMD -MP
LDFLAGS_ALL = $(CFLAGS_$(MODE)) -pie -Wl,--as-needed $(LDFLAGS)

COMMON_LIBS := -lmsgpackc -lsodium -lyaml -ljansson -lcurl -lz -lzstd -lpthread -lm
BROKER_LIBS := -lczmq -lzmq -llmdb -lhiredis -lmicrohttpd $(COMMON_LIBS)
WORKER_LIBS := -lczmq -lzmq -lseccomp -lxgboost -llbfgs -lsleef $(COMMON_LIBS)

# ---- sources ----
sources = $(sort $(shell find $(1) -name '*.c' 2>/dev/null))
COMMON_SRC := $(call sources,proto common)
BROKER_SRC := $(filter-out broker/main.c,$(call sources,broker))
WORKER_SRC := $(filter-out worker/main.c,$(call sources,worker))
UNIT_SRC := $(call sources,tests/unit tests/stories)
objects = $(patsubst %.c,$(B)/obj/%.o,$(1))
LIBS := $(B)/libworker.a $(B)/libbroker.a $(B)/libcommon.a
UNIT := $(patsubst %.c,$(B)/%,$(filter %.c,$(foreach f,$(UNIT_SRC),$(if $(findstring /test_,$(f)),$(f)))))
SIM_SRC := $(call sources,tests/sim)
BENCH := $(patsubst %.c,$(B)/%,$(call sources,tests/bench))
WATCH := $(if $(filter tsan,$(MODE)),$(B)/obj/tests/tsan.o)
UNIT_SUPPORT := $(WATCH) $(call objects,$(foreach f,$(UNIT_SRC),$(if $(findstring /test_,$(f)),,$(f))))

.PHONY: all programs
.DELETE_ON_ERROR:
.SECONDARY:

## all: build both programs (MODE=release)
all: programs
programs: $(B)/broker $(B)/worker

$(B)/broker: $(B)/obj/broker/main.o $(WATCH) $(B)/libbroker.a $(B)/libcommon.a
	@echo "LD $@"
	@$(CC) $(LDFLAGS_ALL) -o $@ $^ $(BROKER_LIBS)
$(B)/worker: $(B)/obj/worker/main.o $(WATCH) $(B)/libworker.a $(B)/libcommon.a
	@echo "LD $@"
	@$(CC) $(LDFLAGS_ALL) -o $@ $^ $(WORKER_LIBS)
$(B)/libcommon.a: $(call objects,$(COMMON_SRC))
$(B)/libbroker.a: $(call objects,$(BROKER_SRC))
$(B)/libworker.a: $(call objects,$(WORKER_SRC))
$(LIBS):
	@echo "AR $@"
	@rm -f $@ && ar rcs $@ $^

# The numeric libraries' versions become part of kind versions, so both programs know them from the headers.
$(B)/gen/lib_versions.h: Makefile
	@mkdir -p $(@D)
	@printf '#include <xgboost/version_config.h>\n#include <sleef.h>\n' | $(CC) -E -dM -x c - | awk ' \
	  BEGIN {want["XGBOOST_VER_MAJOR"]; want["SLEEF_VERSION_MAJOR"]} \
	  $$2 ~ /^(XGBOOST_VER|SLEEF_VERSION)_(MAJOR|MINOR|PATCH|PATCHLEVEL)$$/ {v[$$2] = $$3} \
	  END {for (n in want) if (v[n] == "") {print n ": not in the library\x27s headers; run make setup-build" > "/dev/stderr"; exit 1} \
	    printf "/* Made from the headers. liblbfgs has none for its version; 1.10 is its only release since 2010. */\n#pragma once\n"; \
	    printf "#define LIB_XGBOOST \"xgboost-%s.%s.%s\"\n", v["XGBOOST_VER_MAJOR"], v["XGBOOST_VER_MINOR"], v["XGBOOST_VER_PATCH"]; \
	    printf "#define LIB_SLEEF \"sleef-%s.%s.%s\"\n", v["SLEEF_VERSION_MAJOR"], v["SLEEF_VERSION_MINOR"], v["SLEEF_VERSION_PATCHLEVEL"]; \
	    printf "#define LIB_LBFGS \"lbfgs-1.10\"\n"}' > $@

$(B)/obj/%.o: %.c | $(B)/gen/lib_versions.h
	@mkdir -p $(@D)
	@echo "CC $<"
	@$(CC) $(CFLAGS_ALL) -c -o $@ $<

-include $(shell find $(B)/obj $(B)/tests -name '*.d' 2>/dev/null)

# ---- tests ----
$(B)/tests/%: tests/%.c $(UNIT_SUPPORT) $(LIBS)
	@mkdir -p $(@D)
	@echo "CC $<"
	@$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -MF $@.d -o $@ $< $(UNIT_SUPPORT) -Wl,--start-group $(LIBS) -Wl,--end-group \
	  -lcmocka $(BROKER_LIBS) $(WORKER_LIBS)

# The simulator: the real scheduler and agent in a modelled world.
$(B)/tests/sim/sim: $(call objects,$(SIM_SRC)) $(LIBS)
	@mkdir -p $(@D)
	@echo "LD $@"
	@$(CC) $(LDFLAGS_ALL) -o $@ $(call objects,$(SIM_SRC)) -Wl,--start-group $(LIBS) -Wl,--end-group $(COMMON_LIBS)

.PHONY: unit stories sim mutants tidy test system pinned chaos soak bench sanitized iris install uninstall format clean help setup-build setup-test
## iris: install what is missing, build, train and compare eight models on the iris flowers
iris: setup-build
	@$(MAKE) --no-print-directory all
	$(B)/broker --pipeline configs/iris.yaml

## test: install what is missing, then every test: tidy, unit, stories, simulator, golden, system
test: setup-build setup-test
	@docker/garage.sh >/dev/null
	@$(MAKE) --no-print-directory all $(BENCH)
	@$(MAKE) --no-print-directory tidy
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory sim
	@$(MAKE) --no-print-directory system
	@$(MAKE) --no-print-directory MODE=debug CC=gcc B=build/debug pinned
	@$(MAKE) --no-print-directory MODE=release CC=clang B=build/release-clang pinned

## pinned: the output ids of the example and of every kind with this MODE and CC are those in tests/golden
pinned: programs $(VENV)/ready
	@BIN=$(abspath $(B)) $(VENV)/bin/python -m pytest -q tests/system/test_iris.py tests/system/test_pinned.py -k pinned

## unit: C unit tests and scheduler stories (cmocka)
unit: $(UNIT)
	@fail=0; for t in $(UNIT); do echo "TEST $${t#$(B)/}"; $$t 2>&1 || fail=1; done; exit $$fail

## stories: the scheduler's stories alone
stories: $(filter $(B)/tests/stories/%,$(UNIT))
	@fail=0; for t in $^; do $$t || fail=1; done; exit $$fail

## sim: the scheduler and the agent in a simulated world, thousands of seeds; SEED=n replays one, MINUTES=n goes on
sim: $(B)/tests/sim/sim
	@$< $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

## mutants: does the simulator find bugs? the scheduler and the agent, broken in one way after the other
mutants:
	@tests/sim/mutants.sh

# The store's contract is a unit test; against a real S3 server a system test runs it.
STORE_UNIT := $(addprefix $(B)/tests/unit/common/store/test_store_,contract care s3)
## system: golden vectors and the real programs against scikit-learn, XGBoost, S3 and faults (pytest)
system: programs $(STORE_UNIT) $(VENV)/ready
	@BIN=$(abspath $(B)) $(VENV)/bin/python -m pytest -q tests/golden tests/system

## sanitized: unit tests and the iris run under MODE's sanitizer
sanitized: setup-build setup-test
	@$(MAKE) --no-print-directory all unit
	@$(MAKE) --no-print-directory $(VENV)/ready
	@BIN=$(abspath $(B)) $(VENV)/bin/python -m pytest -q tests/system/test_iris.py

## chaos: a cluster of real processes on hosts of their own, and every fault once; ARGS="--only WORDS" or --short
chaos: setup-build setup-test
	@$(MAKE) --no-print-directory programs $(VENV)/ready
	@BIN=$(abspath $(B)) $(VENV)/bin/python tests/chaos/chaos.py $(ARGS)

## soak: a served broker kept busy for half an hour: are memory and descriptors flat? ARGS="--minutes N"
soak: setup-build setup-test
	@$(MAKE) --no-print-directory programs
	@BIN=$(abspath $(B)) python3 tests/chaos/soak.py $(ARGS)

## bench: what it costs, beside its budget and a peer (release build)
bench: setup-build setup-test
	-@docker/setup.sh bench
	@$(MAKE) --no-print-directory programs $(BENCH) $(VENV)/ready
	-@$(MAKE) --no-print-directory $(VENV)-peers/ready
	@BIN=$(abspath $(B)) BENCH="$(abspath $(B))/tests/bench" PEERS="$(abspath $(VENV))-peers/bin/python" \
	  $(VENV)/bin/python tests/bench/bench.py

## tidy: format, layers, doors, lengths, banned functions, headers that compile alone
tidy:
	@tests/tidy/tidy.sh

## format: let clang-format have its way
format:
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

## install: both programs to PREFIX/bin (default /usr/local)
install: programs
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(B)/broker $(B)/worker $(DESTDIR)$(PREFIX)/bin
## uninstall: take them away again
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/broker $(DESTDIR)$(PREFIX)/bin/worker

## clean: remove build/
clean:
	rm -rf build

## help: this list
help:
	@sed -n 's/^## //p' Makefile | awk -F': ' '{printf "  %-10s %s\n", $$1, substr($$0, length($$1) + 3)}'

# Asks for packages at most once per change of the list.
setup-build: build/.setup-build
setup-test: build/.setup-test
# One after the other: two of apt-get at once refuse each other.
build/.setup-test: | build/.setup-build
build/.setup-%: docker/packages.txt docker/setup.sh
	@mkdir -p build
	@docker/setup.sh $*
	@touch $@

# Of their own, so that peers' needs move no version that tests check against. What can't be had is left out of the bench.
$(VENV)-peers/ready: tests/requirements-bench.txt
	@echo "VENV $(@D)"
	@python3 -m venv $(@D)
	@$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@
$(VENV)/ready: tests/requirements.txt
	@echo "VENV $(VENV)"
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@
