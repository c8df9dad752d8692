# The contributor's index. Each target installs what it needs.

# Stamps live in node_modules, so that dist/ holds nothing but what is shipped.
SOURCES := $(shell find index.ts shared transport client image enclave parent mock cli examples bench -name '*.ts' 2>/dev/null) \
  package.json tsconfig.json

.PHONY: help demo test check docs fuzz break bench clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

node_modules/.stamp: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

node_modules/.built: node_modules/.stamp $(SOURCES)
	npm run --silent build
	@touch $@

demo: node_modules/.built ## the whole story in mock mode: no AWS account, no Nitro hardware
	@node dist/cli/main.js demo

test: node_modules/.built ## every test; reference vectors from CLOISTER_VECTORS, default ../shared/vectors
	npx vitest run $(VITEST_FLAGS)

check: node_modules/.stamp ## format, lint and types
	npm run --silent check

docs: node_modules/.stamp ## write what is generated: docs/errors.md, the list of exports
	UPDATE=1 npx vitest run test/errors.test.ts test/api.test.ts -u

fuzz: node_modules/.stamp ## each parser for FUZZ_SECONDS, default 60; UPDATE=1 keeps what reached new ground
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} npx vitest run test/fuzz

break: node_modules/.stamp ## break each check once: tests and demo must notice
	node test/break/run.mjs

bench: node_modules/.built ## measured comparisons, printed as a table
	node dist/bench/verify.js

clean: ## remove what was built
	rm -rf dist node_modules coverage
