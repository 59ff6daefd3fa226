# kiln: one entry point. `make help` lists the targets.
BUILD ?= build
JOBS  ?= $(shell nproc)
PREFIX ?= /usr/local
export KILN_EXE ?= $(abspath $(BUILD)/kiln)

.PHONY: all help deps test check check-long bench lint format quickstart install clean

all: $(BUILD)/build.ninja
	@if [ -t 1 ]; then quiet=; else quiet=--quiet; fi; \
	ninja -C $(BUILD) -j $(JOBS) $(if $(V),-v,$$quiet)

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing: run 'make deps' as root first" >&2; exit 1; }
	@meson setup $(BUILD) --prefix $(PREFIX) >/dev/null || { meson setup $(BUILD) --prefix $(PREFIX); exit 1; }

help:
	@echo "make             build to $(BUILD)/; the program is $(BUILD)/kiln"
	@echo "make deps        install every package that building and running need (root)"
	@echo "make quickstart  from nothing to a booted golden image (root)"
	@echo "make test        unit tests"
	@echo "make check       everything: unit tests, real bakes, real boots (root, within 60 minutes)"
	@echo "make check-long  what does not fit in check; SHARD=i/n runs a part"
	@echo "make bench       the benchmark table"
	@echo "make lint        clang-format, clang-tidy, cppcheck, shellcheck, include and symbol rules"
	@echo "make install     install to PREFIX ($(PREFIX)), man pages included"

deps:
	@scripts/deps build run

test: all
	@meson test -C $(BUILD) --suite unit --num-processes $(JOBS) --print-errorlogs

check:
	@scripts/deps build run test
	@$(MAKE) --no-print-directory all
	@tests/run check

check-long:
	@scripts/deps build run test
	@$(MAKE) --no-print-directory all
	@tests/run check-long $(SHARD)

bench: all
	@bench/run

lint:
	@scripts/deps build lint
	@scripts/lint

format:
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

quickstart:
	@scripts/quickstart

install: all
	@meson install -C $(BUILD) --no-rebuild

clean:
	@rm -rf $(BUILD)
