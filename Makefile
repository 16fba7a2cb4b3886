# The two commands are `make run` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := build

.PHONY: build
build: ## build/release/slipway
	cmake --preset release
	cmake --build --preset release
