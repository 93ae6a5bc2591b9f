# Penstock: one Makefile, not recursive. `make help` lists the targets from their comments.
#
# A mode is a build folder: build/debug, build/release, build/asan, build/tsan, build/cov. `make MODE=asan unit` works for
# any of them; B=… puts the folder elsewhere.

MODE ?= release
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
B ?= build/$(MODE)
PREFIX ?= /usr/local
VENV ?= build/venv
export B

# ---- flags ----
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wmissing-prototypes -Wformat=2 -Werror
# Bit-reproducible arithmetic: no contraction into FMA, no fast-math (design: identity).
NUMERIC := -ffp-contract=off -fno-fast-math
CFLAGS_debug := -O0 -g
CFLAGS_release := -O2 -g -fno-plt
CFLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan := -O1 -g -fsanitize=thread
CFLAGS_cov := -O0 -g --coverage
CFLAGS_ALL = -std=c17 -D_GNU_SOURCE -I. -I$(B)/gen $(WARN) $(NUMERIC) -fPIE $(CFLAGS_$(MODE)) $(CFLAGS) -MMD -MP
LDFLAGS_ALL = $(CFLAGS_$(MODE)) -pie -Wl,--as-needed $(LDFLAGS)

COMMON_LIBS := -lmsgpackc -lsodium -lyaml -ljansson -lz -lzstd -lpthread -lm
BROKER_LIBS := -lczmq -lzmq -llmdb $(COMMON_LIBS)
WORKER_LIBS := -lczmq -lzmq -lxgboost -llbfgs -lsleef $(COMMON_LIBS)

# ---- sources ----
sources = $(sort $(shell find $(1) -name '*.c' 2>/dev/null))
COMMON_SRC := $(call sources,proto common)
BROKER_SRC := $(filter-out broker/main.c,$(call sources,broker))
WORKER_SRC := $(filter-out worker/main.c,$(call sources,worker))
UNIT_SRC := $(call sources,tests/unit tests/stories)
objects = $(patsubst %.c,$(B)/obj/%.o,$(1))
LIBS := $(B)/libworker.a $(B)/libbroker.a $(B)/libcommon.a
UNIT := $(patsubst %.c,$(B)/%,$(filter %.c,$(foreach f,$(UNIT_SRC),$(if $(findstring /test_,$(f)),$(f)))))
UNIT_SUPPORT := $(call objects,$(foreach f,$(UNIT_SRC),$(if $(findstring /test_,$(f)),,$(f))))

.PHONY: all programs
.DELETE_ON_ERROR:
.SECONDARY:

## all: build both programs (MODE=release)
all: programs
programs: $(B)/broker $(B)/worker

$(B)/broker: $(B)/obj/broker/main.o $(B)/libbroker.a $(B)/libcommon.a
	@echo "LD $@"
	@$(CC) $(LDFLAGS_ALL) -o $@ $^ $(BROKER_LIBS)
$(B)/worker: $(B)/obj/worker/main.o $(B)/libworker.a $(B)/libcommon.a
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
	  $$2 ~ /^(XGBOOST_VER|SLEEF_VERSION)_(MAJOR|MINOR|PATCH|PATCHLEVEL)$$/ {v[$$2] = $$3} \
	  END {printf "/* Made from the headers. liblbfgs has none for its version; 1.10 is its only release since 2010. */\n#pragma once\n"; \
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
	  -lcmocka -lczmq -lzmq -llmdb -lxgboost -llbfgs -lsleef $(COMMON_LIBS)

.PHONY: unit
## unit: C unit tests and scheduler stories (cmocka)
unit: $(UNIT)
	@fail=0; for t in $(UNIT); do echo "TEST $${t#$(B)/}"; $$t || fail=1; done; exit $$fail
