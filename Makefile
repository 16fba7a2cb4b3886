# The two commands are `make run` and `make test`; `make help` lists the rest. CMake and Ninja do the work; the presets
# of CMakePresets.json build into build/PRESET.
SHELL := /bin/bash
.DEFAULT_GOAL := build
.NOTPARALLEL:

JOBS ?= $(shell nproc)
# What `make fuzz-smoke` gives each target.
SECONDS ?= 5
PREFIX ?= /usr/local

# A test run leaves its counts in build/results for .ci/run.
define ctest
	@mkdir -p build/results
	ctest --preset $(1) -j$(JOBS) --output-junit $(CURDIR)/build/results/$(1).xml $(2)
endef

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 16

.PHONY: setup
setup: ## install what a build needs and this machine lacks
	@tools/setup build

.PHONY: build
build: setup ## build/release/slipway (the default)
	cmake --preset release
	cmake --build --preset release -j $(JOBS)

.PHONY: run
run: build ## serve models/ on 127.0.0.1:8080, with one example request
	@tools/run build/release/slipway models

.PHONY: setup-test
setup-test:
	@tools/setup build test

.PHONY: test
test: setup-test build ## every test, on the release build
	$(call ctest,release)

.PHONY: package
package: build ## Debian packages and an archive of the release build, in build/packages
	@tools/package build/packages

TARGET ?= onnx
BASE ?=
MODELS ?=
.PHONY: image
image: ## TARGET=onnx (torch, full, lambda) MODELS="DIRECTORY ...": a container image, in build/images/TARGET
	@command -v buildah >/dev/null || tools/setup test
	@tools/image $(if $(BASE),--base $(BASE)) $(foreach model,$(MODELS),--model $(model)) $(TARGET)

.PHONY: release
release: setup-test ## VERSION=1.2.3: all that a release does, short of publishing it
	@tools/release "$(VERSION)"

.PHONY: debug
debug: setup-test ## tests under AddressSanitizer and UndefinedBehaviorSanitizer
	cmake --preset debug
	cmake --build --preset debug -j $(JOBS)
	$(call ctest,debug,-L 'unit|conform|fuzz|wire')

.PHONY: thread
thread: setup-test ## tests under ThreadSanitizer
	cmake --preset thread
	cmake --build --preset thread -j $(JOBS)
	$(call ctest,thread,-L 'unit|conform')

.PHONY: coverage
coverage: setup-test ## tests with gcov; the summary in build/coverage/summary.txt
	cmake --preset coverage
	cmake --build --preset coverage -j $(JOBS)
	find build/coverage -name '*.gcda' -delete
	$(call ctest,coverage,-L 'unit|conform|fuzz|wire')
	tools/coverage build/coverage

.PHONY: fuzz-smoke
fuzz-smoke: setup-test ## each fuzz target for SECONDS (5)
	cmake --preset fuzz
	cmake --build --preset fuzz -j $(JOBS) --target fuzz_targets
	tests/fuzz/smoke build/fuzz $(SECONDS)

MINUTES ?= 30
PRESET ?= release
.PHONY: soak
soak: setup-test ## tests under faults for MINUTES (30) with new seeds each time; PRESET=debug: under sanitizers
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) -j $(JOBS)
	tests/soak $(PRESET) $(MINUTES)

.PHONY: lint
lint: setup-test ## format, clang-tidy, include rules, house rules
	cmake --preset release
	tools/lint build/release

.PHONY: docs
docs: build ## docs/options.md, errors.md and metrics.md from the tables
	build/release/slipway config --docs > docs/options.md
	build/release/slipway config --errors > docs/errors.md
	build/release/slipway config --metrics > docs/metrics.md

.PHONY: site
site: setup-test ## the documentation as a site, in build/site
	.deps/site/bin/python -m mkdocs build --strict

.PHONY: bench
bench: ## the benchmarks; results in docs/performance.md
	@tools/setup build bench
	cmake --preset release
	cmake --build --preset release -j $(JOBS)
	bench/run

.PHONY: bench-compare
bench-compare: build ## BASE=COMMIT: instructions and rates beside that commit's, both built and run here
	@tools/setup bench
	bench/compare "$(BASE)"

INSTRUCTIONS_MAX ?= 4500
.PHONY: instructions
instructions: setup-test build ## user instructions of a request, by callgrind; fails above INSTRUCTIONS_MAX
	bench/instructions $(INSTRUCTIONS_MAX)

.PHONY: install
install: build ## into PREFIX (/usr/local); DESTDIR is heeded
	cmake --install build/release --prefix $(PREFIX)

.PHONY: clean
clean: ## remove build/; what setup fetched stays
	rm -rf build
