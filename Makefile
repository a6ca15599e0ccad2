# What each target does stands in README.md.
SHELL   := /bin/bash
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO      ?= go
export CGO_ENABLED := 0

BUILD := $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
CONNECTORS := $(notdir $(wildcard connectors/*))
WEB := appliance/console/web
SDK := appliance/ingest/web

.PHONY: groups hostile build connectors console sdk run test race faults bench bench-100m soak bench-short oracle sdks package check fuzz clean need-go need-test

build: need-go console sdk connectors
	$(BUILD) -o bin/cloister ./appliance/cmd/cloister

connectors: need-go
	@mkdir -p bin/connectors
	@for c in $(CONNECTORS); do $(BUILD) -o bin/connectors/$$c ./connectors/$$c || exit 1; done

# The web console's bundle; made anew when its sources change.
console: $(WEB)/dist/index.html

$(WEB)/dist/index.html: $(shell find $(WEB)/src -type f 2>/dev/null) $(WEB)/package-lock.json
	@packaging/scripts/need.sh npm:nodejs,npm
	cd $(WEB) && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build

# cloister.js and its service worker.
sdk: $(SDK)/dist/cloister.js

$(SDK)/dist/cloister.js: $(shell find $(SDK)/src -type f 2>/dev/null) $(SDK)/build.mjs $(SDK)/package-lock.json
	@packaging/scripts/need.sh npm:nodejs,npm
	cd $(SDK) && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build

run: build
	bin/cloister server --demo

need-go:
	@command -v $(GO) >/dev/null || { echo "Building needs Go $(shell sed -n 's/^go //p' go.mod) or newer: https://go.dev/dl/ (or apt-get install -y golang)" >&2; exit 1; }

# Rooms with tests that meet other programs: these run with the others of their
# room, and again each time, since what they meet is not seen by Go's cache.
E2E = $(shell grep -rl --include='*_test.go' --exclude-dir=node_modules '^//go:build e2e' plugins connectors appliance | xargs -n1 dirname | sort -u | sed 's|^|./|')

# Everything that a change must pass; under 15 minutes. Installs what the tests
# need and is missing: Chromium, a real SMTP server, the web console's tools.
test: need-test build appliance/sdks/node_modules/.package-lock.json connectors/smpp/testdata/npm/node_modules/.package-lock.json connectors/webpush/testdata/npm/node_modules/.package-lock.json connectors/smshttp/testdata/npm/node_modules/.package-lock.json connectors/webhook/testdata/npm/node_modules/.package-lock.json plugins/node/node_modules/.package-lock.json
	$(GO) vet ./...
	cd $(WEB) && npm run --silent check && npm test --silent
	cd $(SDK) && npm run --silent check && npm test --silent
	$(GO) test $$($(GO) list ./... | grep -vxF "$$($(GO) list -tags e2e $(E2E))")
	$(GO) test -tags e2e -count=1 $(E2E)
	$(GO) run ./appliance/faults -short
	$(MAKE) --no-print-directory sdks SDKS='-only @segment/analytics-node,@rudderstack/rudder-sdk-node,@segment/analytics-next'

need-test:
	@packaging/scripts/need.sh /usr/bin/node:nodejs npm:nodejs,npm openssl:openssl chromium:chromium postfix:postfix dovecot:dovecot-core opendkim:opendkim /usr/lib/python3/dist-packages/dkim/__init__.py:python3-dkim /usr/lib/python3/dist-packages/nacl/__init__.py:python3-nacl strace:strace /usr/lib/python3/dist-packages/grpc/__init__.py:python3,python3-grpcio /usr/lib/python3/dist-packages/google/protobuf/__init__.py:python3-protobuf /usr/lib/python3/dist-packages/cryptography/__init__.py:python3-cryptography mkfs.ext4:e2fsprogs perl:perl /usr/share/perl5/Net/SMPP.pm:libnet-smpp-perl /usr/sbin/bearerbox:kannel /usr/lib/kannel/test/fakesmsc:kannel-extras

# The same under the race detector, which needs cgo and takes longer.
race:
	@packaging/scripts/need.sh gcc:gcc,libc6-dev
	CGO_ENABLED=1 $(GO) test -race ./...

check: need-go
	$(GO) vet ./... && test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	cd $(WEB) && npm run --silent check
	cd $(SDK) && npm run --silent check

# Short fuzzing of every decoder and parser, a few seconds each.
FUZZTIME ?= 5s
fuzz: need-go
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for f in $$(grep -h -o '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -c6-); do \
			echo "$$dir $$f" && $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$dir || exit 1; done; done

clean:
	rm -rf bin dist $(WEB)/dist/assets $(WEB)/dist/index.html $(SDK)/dist/*.js

# What must hold under faults, one line a fault: appliance/faults/README.md. As
# root; a quarter of an hour. FAULTS="-only kill -rounds 20 -v" passes flags.
FAULTS ?=
faults: need-test build
	$(GO) run ./appliance/faults $(FAULTS)
	$(GO) test -tags faults -count=1 -timeout 30m -run TestTable -v ./plugins/host

# What a control group holds of a connector, by the kernel's own. As root, where
# control groups are of version 2; it leaves the controllers switched on.
groups: need-go
	$(GO) test -tags groups -count=1 -run TestGroups -v ./plugins/host

# The report of a connector that tries all that it must not be able to do, and of
# one in Python and one for Node that try the most important of it.
hostile: need-go plugins/node/node_modules/.package-lock.json
	@packaging/scripts/need.sh /usr/bin/node:nodejs /usr/lib/python3/dist-packages/grpc/__init__.py:python3,python3-grpcio /usr/lib/python3/dist-packages/google/protobuf/__init__.py:python3-protobuf /usr/lib/python3/dist-packages/cryptography/__init__.py:python3-cryptography
	$(GO) test -tags e2e -count=1 -run TestHostile -v ./plugins/host

# The appliance beside its peers, target by target (appliance/bench/README.md).
# Takes about twenty minutes on a machine that does nothing else; BENCH passes flags.
BENCH ?=
bench: need-go
	@packaging/scripts/need.sh gcc:gcc,libc6-dev g++:g++ smtp-source:postfix
	@mkdir -p bin
	cd appliance/bench && $(GO) run . -json ../../bin/bench.json $(BENCH)

# The same questions over 100 million events, for how things grow.
bench-100m: need-go
	cd appliance/bench && $(GO) run . -only growth -sizes 1000000,10000000,100000000 $(BENCH)

# What a quarter of the peak takes of memory and disk over 20 minutes, with
# retention at work: a minute is a day.
soak: need-go
	cd appliance/bench && $(GO) run . -only soak -skip-peers $(BENCH)

# Everything that is measured of Cloister alone, small: that it works, no figures.
bench-short: need-go
	cd appliance/bench && $(GO) vet . ./mix ./engine ./cloister && $(GO) test ./mix ./engine . && $(GO) run . -events 200000 -runs 1 -skip-peers

# The same questions as SQL on DuckDB, over generated events and the sets beside
# the checkout; ORACLE="-sets 500 -seed 1000" asks about others.
oracle: need-go
	@packaging/scripts/need.sh gcc:gcc,libc6-dev g++:g++
	cd appliance/bench && CGO_ENABLED=1 $(GO) test -count=1 -timeout 60m ./oracle $(ORACLE)

# The SDKs that apps carry, as their makers publish them, against this daemon
# (appliance/sdks/README.md). SDKS passes flags.
SDKS ?=
sdks: need-go appliance/sdks/node_modules/.package-lock.json
	$(BUILD) -o bin/cloister ./appliance/cmd/cloister
	cd appliance/sdks && $(GO) run . $(SDKS)

appliance/sdks/node_modules/.package-lock.json: appliance/sdks/package-lock.json
	@packaging/scripts/need.sh npm:nodejs,npm chromium:chromium
	cd appliance/sdks && npm ci --no-audit --no-fund --loglevel=error

# The libraries that stand in for others: a message centre, browsers.
connectors/%/testdata/npm/node_modules/.package-lock.json: connectors/%/testdata/npm/package-lock.json
	@packaging/scripts/need.sh npm:nodejs,npm
	cd connectors/$*/testdata/npm && npm ci --no-audit --no-fund --loglevel=error

# What connectors for Node are made of.
plugins/node/node_modules/.package-lock.json: plugins/node/package-lock.json
	@packaging/scripts/need.sh npm:nodejs,npm
	cd plugins/node && npm ci --no-audit --no-fund --loglevel=error

# deb and rpm in dist/. VERSION must begin with a digit: an untagged tree is 0.0.0.
PACKAGE_VERSION := $(shell echo '$(VERSION)' | sed -e '/^v[0-9]/!s/^/v0.0.0-/' -e 's/^v//')
package: build
	@rm -rf dist && mkdir -p dist/man dist/completion dist/connectors
	@for c in $(CONNECTORS); do cp connectors/$$c/example.hcl dist/connectors/$$c.hcl || exit 1; done
	bin/cloister man dist/man && gzip -9nf dist/man/*.1
	bin/cloister completion bash > dist/completion/cloister.bash
	gzip -9nc CHANGELOG.md > dist/changelog.gz
	@printf 'cloister (%s-1) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- Cloister maintainers <maintainers@cloisterhq.example>  %s\n' \
		'$(subst -,~,$(PACKAGE_VERSION))' "$$(git log -1 --format=%cD)" | gzip -9nc > dist/changelog.Debian.gz
	@for p in deb rpm; do VERSION=$(PACKAGE_VERSION) SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
		$(GO) tool -modfile=packaging/tools/go.mod nfpm package -f packaging/nfpm.yaml -p $$p -t dist/ || exit 1; done
