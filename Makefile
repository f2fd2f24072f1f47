# SPDX-License-Identifier: GPL-2.0-only
#
# gate25: builds the BPF programs, the agent gate25d, the CLI gate25 and the tests.
# Everything that is made lands in $(BUILD). Sources are found by wildcard:
#
#   bpf/NAME.bpf.c          one BPF object each, with a skeleton $(BUILD)/bpf/NAME.skel.h
#   tests/bpf/NAME.bpf.c    likewise, for tests and benches
#   user/*.c user/lists/*.c both mains, except
#   user/gate25d.c, user/agent_*.c   the agent only
#   user/gate25.c, user/cmd_*.c      the CLI only
#   tools/NAME.c            one program each, for developers
#   tools/bench/*.c         the bench, $(BUILD)/bench; its *.bpf.c get skeletons as well
#   tests/unit/test_*.c     cmocka, no root          tests/common/*.c  shared by unit and bpf tests
#   tests/bpf/test_*.c      cmocka, root             tests/net/*.c     programs that net tests start
#   tests/net/test_*.sh     namespaces, root
#   user/worker_main.c      once more with GATE25_WRECK, for tests/net/test_worker.sh
#   tests/fuzz/fuzz_*.c     libFuzzer, no root; what they start from is in tests/fuzz/corpus/

BUILD	    ?= build
PREFIX	    ?= /usr/local
SBINDIR	    ?= $(PREFIX)/sbin
SYSCONFDIR  ?= /etc
UNITDIR	    ?= $(patsubst /usr/lib/%,/lib/%,$(PREFIX)/lib/systemd/system)
MANDIR	    ?= $(PREFIX)/share/man
SYSUSERSDIR ?= $(patsubst /usr/local/%,/usr/%,$(PREFIX))/lib/sysusers.d
COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
PRESETS	    ?= $(PREFIX)/share/gate25/presets
CLANG	    ?= clang
BPFTOOL	    ?= $(or $(shell PATH="$$PATH:/usr/sbin:/sbin" command -v bpftool),bpftool)
T	    ?= *

ifeq ($(MAKELEVEL)$(filter -j% --jobs%,$(MAKEFLAGS)),0)
MAKEFLAGS   += --jobs=$(shell nproc) --no-print-directory
endif

# A release is tagged; between releases the commit stands behind the number of the next one.
VERSION	    := $(shell git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//' | grep . || \
		 { cat VERSION; git rev-parse --short HEAD 2>/dev/null | sed 's/^/+g/'; } | tr -d '\n')

PACKAGES    := libbpf libelf zlib libmnl libcurl libmicrohttpd jansson libsystemd smartcols \
	       libcap-ng yaml-0.1 libcares libseccomp
MULTIARCH   := $(shell $(CC) -print-multiarch 2>/dev/null)

WARNINGS    := -Wall -Wextra -Werror
CFLAGS	    ?= -O2 -g
HARDEN	    ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
HARDEN_LD   ?= -pie -Wl,-z,relro,-z,now
CPPFLAGS    += -I. -I$(BUILD) -D_GNU_SOURCE -DGATE25_VERSION='"$(VERSION)"' \
	       -DGATE25_PRESETS='"$(PRESETS)"' \
	       $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LIBS	    := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lresolv -pthread -lm
CMOCKA	    := $(shell pkg-config --libs cmocka 2>/dev/null)
USER_CC	    = $(CC) -std=gnu11 $(WARNINGS) $(HARDEN) $(CPPFLAGS) $(CFLAGS) $(SANITIZE)
LINK	    = $(CC) $(CFLAGS) $(SANITIZE) $(HARDEN_LD) $(LDFLAGS) -Wl,--as-needed -o $@
BPF_CC	    = $(CLANG) -target bpf -mcpu=v3 -O2 -g -std=gnu11 $(WARNINGS) -I. \
	      -I/usr/include/$(MULTIARCH)

AGENT_SRC   := $(wildcard user/gate25d.c user/agent_*.c)
CLI_SRC	    := $(wildcard user/gate25.c user/cmd_*.c)
COMMON_SRC  := $(filter-out $(AGENT_SRC) $(CLI_SRC),$(wildcard user/*.c user/lists/*.c))
SHARED_SRC  := $(wildcard tests/common/*.c)

AGENT_OBJ   := $(AGENT_SRC:%.c=$(BUILD)/%.o)
CLI_OBJ	    := $(CLI_SRC:%.c=$(BUILD)/%.o)
COMMON_OBJ  := $(COMMON_SRC:%.c=$(BUILD)/%.o)
SHARED_OBJ  := $(SHARED_SRC:%.c=$(BUILD)/%.o)
BPF_OBJ	    := $(patsubst %.c,$(BUILD)/%.o,$(wildcard bpf/*.bpf.c tests/bpf/*.bpf.c tools/bench/*.bpf.c))
SKELETONS   := $(BPF_OBJ:.bpf.o=.skel.h)
BENCH_SRC   := $(filter-out %.bpf.c,$(wildcard tools/bench/*.c))
BENCH_OBJ   := $(BENCH_SRC:%.c=$(BUILD)/%.o)
TOOLS	    := $(patsubst %.c,$(BUILD)/%,$(wildcard tools/*.c))
HELPERS	    := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/net/*.c))
WRECK	    := $(BUILD)/tests/net/gate25d-wreck
PROGRAMS    := $(if $(AGENT_SRC),$(BUILD)/gate25d) $(if $(CLI_SRC),$(BUILD)/gate25)
UNIT_TESTS  := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_$(T).c))
BPF_TESTS   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bpf/test_$(T).c))
FUZZ_OBJ    := $(patsubst %.c,$(BUILD)/%.o,$(wildcard user/lists/*.c) user/addr.c)
NET_TESTS   := $(wildcard tests/net/test_$(T).sh)
C_FILES	    := $(sort $(wildcard bpf/*.[ch] user/*.[ch] user/lists/*.[ch] tools/*.[ch] tools/bench/*.[ch] \
	       tests/common/*.[ch] tests/unit/*.[ch] tests/bpf/*.[ch] tests/net/*.[ch] \
	       tests/fuzz/*.[ch]))
SH_FILES    := .ci/run $(sort $(wildcard scripts/* tests/run tests/net/*.sh contrib/completion/*.bash))

Q	    := $(if $(V),,@)
say	    = @printf '  %-6s %s\n' $(1) '$(2)'

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: help all check check-built check-unit check-bpf check-net asan fuzz fuzz-built fuzz-cover demo demo-built lint lint-built \
	bench bench-built format install uninstall clean FORCE

help:
	@echo 'make all          build gate25d and gate25 in $(BUILD)/'
	@echo 'make check        install what is missing, build, run all tests (as root)'
	@echo 'make check-unit   unit tests, no root; T=NAME runs tests/unit/test_NAME.c alone'
	@echo 'make check-bpf    tests that run the BPF programs (as root; T=NAME)'
	@echo 'make check-net    tests in network namespaces with real servers (as root; T=NAME)'
	@echo 'make asan         unit tests under AddressSanitizer and UBSan, in $(BUILD)-asan/'
	@echo 'make fuzz         libFuzzer over the parsers of lists, FUZZ_SECONDS=60 a format, in $(BUILD)-fuzz/'
	@echo 'make fuzz-cover   how much of the parsers the corpora in tests/fuzz/corpus/ reach'
	@echo 'make demo         install what is missing, build, show the guard at work (as root)'
	@echo 'make bench        install what is missing, build, measure beside nftables, ipset and others (as root)'
	@echo 'make lint         formatting, static checks, size of functions, cost for the verifier'
	@echo 'make format       clang-format all C files'
	@echo 'make install      DESTDIR=, PREFIX=$(PREFIX), SYSCONFDIR=$(SYSCONFDIR), UNITDIR=$(UNITDIR)'
	@echo 'make uninstall    the reverse; configuration and state stay'
	@echo 'make clean        remove $(BUILD)/ and what stands beside it: -asan, -fuzz, -cover'
	@echo 'V=1 shows the commands. Version: $(VERSION)'

all: $(PROGRAMS) $(TOOLS)

# ---------------------------------------------------------------- build

$(BUILD)/%.bpf.o: %.bpf.c
	$(call say,BPF,$@)
	@mkdir -p $(@D)
	$(Q)$(BPF_CC) -MMD -MP -c $< -o $@

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q){ echo '/* NOLINTBEGIN */' && $(BPFTOOL) gen skeleton $< && echo '/* NOLINTEND */'; } > $@

$(BUILD)/%.o: %.c
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(USER_CC) -MMD -MP -c $< -o $@

# Likewise who looks for the presets, when they are to be elsewhere.
$(BUILD)/user/cmd_presets.o: $(BUILD)/presets
$(BUILD)/presets: FORCE
	@mkdir -p $(@D)
	@echo '$(PRESETS)' | cmp -s - $@ || echo '$(PRESETS)' > $@

# Before the first build there is no dependency file yet that names the skeleton.
$(patsubst %.c,$(BUILD)/%.o,$(shell grep -ls '\.skel\.h"' $(C_FILES))): | $(SKELETONS)

# Who prints the version is built again when it changes.
$(patsubst %.c,$(BUILD)/%.o,$(shell grep -ls GATE25_VERSION $(COMMON_SRC) $(AGENT_SRC) $(CLI_SRC) $(wildcard tests/*/*.c))): \
	$(BUILD)/version
$(BUILD)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@

$(BUILD)/common.a: $(COMMON_OBJ)
$(BUILD)/tests/common.a: $(SHARED_OBJ)
%.a:
	$(call say,AR,$@)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/gate25d: $(AGENT_OBJ) $(BUILD)/common.a
$(BUILD)/gate25: $(CLI_OBJ) $(BUILD)/common.a
$(TOOLS): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/common.a
$(PROGRAMS) $(TOOLS):
	$(call say,LINK,$@)
	$(Q)$(LINK) $^ $(LIBS)

$(BUILD)/bench: $(BENCH_OBJ) $(BUILD)/common.a
	$(call say,LINK,$@)
	$(Q)$(LINK) $^ $(LIBS)

$(HELPERS): $(BUILD)/%: $(BUILD)/%.o
	$(call say,LINK,$@)
	$(Q)$(LINK) $^

# The agent with a parser that lists can wreck: for the test of what becomes of it.
$(BUILD)/user/worker_main.wreck.o: user/worker_main.c $(BUILD)/user/worker_main.o
	$(call say,CC,$@)
	$(Q)$(USER_CC) -DGATE25_WRECK -c $< -o $@

$(WRECK): $(AGENT_OBJ) $(BUILD)/user/worker_main.wreck.o $(BUILD)/common.a
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(LINK) $^ $(LIBS)

$(UNIT_TESTS) $(BPF_TESTS): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/tests/common.a $(BUILD)/common.a
	$(call say,LINK,$@)
	$(Q)$(LINK) $^ $(CMOCKA) $(LIBS)

-include $(patsubst %.c,$(BUILD)/%.d,$(filter %.c,$(C_FILES)))

# ---------------------------------------------------------------- tests

# The packages come first: what pkg-config says is read when make starts.
check:
	$(Q)scripts/deps.sh build test
	$(Q)$(MAKE) check-built

check-built: $(UNIT_TESTS) $(BPF_TESTS) $(PROGRAMS) $(TOOLS) $(HELPERS) $(WRECK)
	$(Q)BUILD=$(BUILD) tests/run $(UNIT_TESTS) $(BPF_TESTS) $(NET_TESTS)

check-unit: $(UNIT_TESTS)
	$(Q)BUILD=$(BUILD) tests/run $^

check-bpf: $(BPF_TESTS)
	$(Q)BUILD=$(BUILD) tests/run $^

check-net: $(PROGRAMS) $(TOOLS) $(HELPERS) $(WRECK)
	$(Q)BUILD=$(BUILD) tests/run $(NET_TESTS)

asan:
	$(Q)$(MAKE) check-unit BUILD=$(BUILD)-asan HARDEN=-fPIE CFLAGS='-O1 -g' \
		SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'

# As with a sanitizer, all is built apart. F=csv takes one format of the corpus alone.
FUZZ_BUILD = $(MAKE) fuzz-built CC=$(CLANG) HARDEN=-fPIE CFLAGS='-O1 -g -fno-omit-frame-pointer'

fuzz:
	$(Q)scripts/deps.sh build fuzz
	$(Q)+$(FUZZ_BUILD) BUILD=$(BUILD)-fuzz SANITIZE='-fsanitize=fuzzer-no-link,address,undefined \
		-fno-sanitize-recover=all'

fuzz-cover:
	$(Q)scripts/deps.sh build fuzz
	$(Q)+FUZZ_COVER=1 $(FUZZ_BUILD) BUILD=$(BUILD)-cover \
		SANITIZE='-fprofile-instr-generate -fcoverage-mapping'

fuzz-built: $(BUILD)/tests/fuzz/fuzz_lists
	$(Q)BUILD=$(BUILD) scripts/fuzz $< $(F)

$(BUILD)/tests/fuzz/fuzz_lists: $(BUILD)/tests/fuzz/fuzz_lists.o $(FUZZ_OBJ)
	$(call say,LINK,$@)
	$(Q)$(LINK) -fsanitize=fuzzer $^ $(LIBS)

demo:
	$(Q)scripts/deps.sh build demo
	$(Q)$(MAKE) demo-built

demo-built: $(PROGRAMS) $(HELPERS)
	$(Q)BUILD=$(BUILD) scripts/demo.sh

# What BENCH says goes to the bench: make bench BENCH='-n 3 -r 1M'
bench:
	$(Q)scripts/deps.sh build bench
	$(Q)$(MAKE) bench-built

bench-built: $(PROGRAMS) $(BUILD)/bench
	$(Q)$(BUILD)/bench -o $(BUILD)/bench.json $(value BENCH)

# ---------------------------------------------------------------- source

lint:
	$(Q)scripts/deps.sh build lint
	$(Q)$(MAKE) lint-built

lint-built: $(BPF_OBJ) $(SKELETONS) $(TOOLS)
	$(Q)BUILD=$(BUILD) CPPFLAGS="$(subst ",\",$(CPPFLAGS))" scripts/lint $(C_FILES) $(SH_FILES)

format:
	$(Q)clang-format -i $(C_FILES)

clean:
	$(Q)rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz $(BUILD)-cover

# ---------------------------------------------------------------- install

CONFIG	       := $(DESTDIR)$(SYSCONFDIR)/gate25/gate25.yaml
# Without it lists are fetched and parsed as nobody.
SYSUSERS_MAKE  := [ -n '$(DESTDIR)' ] || ! command -v systemd-sysusers > /dev/null || systemd-sysusers gate25.conf || \
		  echo "There is no user _gate25: lists are fetched and parsed as nobody."
SYSTEMD_RELOAD := [ -n '$(DESTDIR)' ] || ! [ -d /run/systemd/system ] || systemctl daemon-reload

# A configuration that is there is the operator's: the new one is laid beside it.
install: all
	$(Q)install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/gate25/conf.d
	$(Q)install -d $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(COMPLETIONS) $(DESTDIR)$(PRESETS)
	$(Q)install -m 755 $(PROGRAMS) $(DESTDIR)$(SBINDIR)/
	$(Q)install -m 644 docs/gate25.8 docs/gate25d.8 $(DESTDIR)$(MANDIR)/man8/
	$(Q)install -m 644 contrib/completion/gate25.bash $(DESTDIR)$(COMPLETIONS)/gate25
	$(Q)install -m 644 contrib/presets/*.yaml $(DESTDIR)$(PRESETS)/
	$(Q)sed 's|@SBINDIR@|$(SBINDIR)|; s|@SYSCONFDIR@|$(SYSCONFDIR)|' \
		contrib/systemd/gate25d.service > $(BUILD)/gate25d.service
	$(Q)install -m 644 $(BUILD)/gate25d.service $(DESTDIR)$(UNITDIR)/
	$(Q)install -d $(DESTDIR)$(SYSUSERSDIR)
	$(Q)install -m 644 contrib/systemd/gate25.sysusers $(DESTDIR)$(SYSUSERSDIR)/gate25.conf
	$(Q)$(SYSUSERS_MAKE)
	@if [ ! -e $(CONFIG) ]; then \
		install -m 644 contrib/gate25.yaml $(CONFIG) && \
		echo 'Wrote $(CONFIG). It only observes; set `interfaces:` in it.'; \
	elif ! cmp -s contrib/gate25.yaml $(CONFIG); then \
		install -m 644 contrib/gate25.yaml $(CONFIG).new && \
		echo 'Kept $(CONFIG); the shipped one is beside it: gate25.yaml.new'; \
	fi
	$(Q)$(SYSTEMD_RELOAD)
	@echo 'Installed in $(DESTDIR)$(SBINDIR) and $(DESTDIR)$(UNITDIR).'
	@echo 'Next: edit the configuration; gate25 check; systemctl enable --now gate25d'

# Without the CLI nobody could take the guard out of the kernel: that comes first.
uninstall:
	@if [ -z '$(DESTDIR)' ] && [ -e /sys/fs/bpf/gate25 ]; then \
		echo 'The guard is still in force (/sys/fs/bpf/gate25 is there). First:'; \
		echo '    systemctl disable --now gate25d; gate25 unload'; \
		exit 1; \
	fi >&2
	$(Q)rm -f $(DESTDIR)$(SBINDIR)/gate25d $(DESTDIR)$(SBINDIR)/gate25 \
		$(DESTDIR)$(UNITDIR)/gate25d.service $(DESTDIR)$(SYSUSERSDIR)/gate25.conf $(DESTDIR)$(MANDIR)/man8/gate25.8 \
		$(DESTDIR)$(MANDIR)/man8/gate25d.8 $(DESTDIR)$(COMPLETIONS)/gate25
	$(Q)rm -rf $(DESTDIR)$(PRESETS)
	$(Q)$(SYSTEMD_RELOAD)
	@echo 'Removed. Kept: the configuration, and in $(DESTDIR)/var/lib/gate25 the manual entries, the'
	@echo 'record of changes and the last good lists. To remove these too:'
	@echo '    rm -r $(DESTDIR)$(SYSCONFDIR)/gate25 $(DESTDIR)/var/lib/gate25'
