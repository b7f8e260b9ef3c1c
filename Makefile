# The house's commands. `make` alone prints them.
#
# Three Go modules: the product (here), devstack (embedded servers, end-to-end tests, benchmarks) and tools (linters).
# All builds of the product's and devstack's packages keep Go's default flags, so that tests, benchmarks and bin/devstack
# share one build cache: the Temporal server takes minutes to compile. Only `build` asks for Go's own resolver.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

BIN := $(CURDIR)/bin
# git lists files that were deleted and not committed yet, too: wildcard leaves them out.
GOFILES = $(wildcard $(shell git ls-files --cached --others --exclude-standard '*.go'))

# The version that the programs report, and the build id of workers: the tag of a release, else "dev" and the revision.
VERSION ?= $(shell git describe --tags --exact-match 2>/dev/null || echo dev)

# With -buildvcs=auto, the default, Go records revision and date itself.
STAMP := -X github.com/hookturn/hookturn/internal/app.version=$(VERSION)

# Settings, as in: make fuzz FUZZTIME=1m
FUZZTIME ?= 10s
SOAKTIME ?= 600
SOAKSTEPS ?= 100000
DRILLTIME ?= 1h
BENCHFLAGS ?=
DEVFLAGS ?=
PROFILES ?=
TEST_TIMEOUT ?= 30m
E2E_TIMEOUT ?= 60m

# Drills that take minutes: `make soak` runs them. What came back is in docs/operations.md, Limits.
SOAKONLY := ^(TestRollout|TestDrill_RealComponents|TestDrill_Erase|TestDrill_RestoredFromYesterday)$$

# Tests of the operators' tools: `make soak` runs them with Temporal on PostgreSQL, too.
TOOLS := ^Test(Conversations|Erase|Redrive|Encryption|Deployment|CommandLine)_

# Most end-to-end tests mostly wait: two at a time. Those that need both of two cores do not call t.Parallel: they run alone.
E2E_PARALLEL ?= 2

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
.PHONY: help


setup:
	@tools/setup.sh --tests
.PHONY: setup

# Without what cannot be installed the demo runs without code steps, and prints that.
try-setup:
	@tools/setup.sh || true
.PHONY: try-setup

demo: try-setup $(BIN)/devstack ## Start everything in one process, send a sample event of every dialect, print the replies
	@$(BIN)/devstack demo
.PHONY: demo

dev: try-setup build ## The same stack, staying up; prints its addresses (flags: make dev DEVFLAGS=…)
	@$(BIN)/devstack --bots examples/bots --data-dir .devstack --event-tokens examples/event-tokens \
		--operator-token-file examples/operator-token $(DEVFLAGS)
.PHONY: dev

up: .env ## Start PostgreSQL, Temporal, NATS, workers and a starter in containers (PROFILES=code,monitoring for more)
	COMPOSE_PROFILES=$(PROFILES) docker compose up --build --detach --wait
	@echo "Temporal UI http://127.0.0.1:8233   NATS 127.0.0.1:4222   gateway http://127.0.0.1:8080"
.PHONY: up

down: ## Stop the containers; their data stays
	COMPOSE_PROFILES='*' docker compose down
.PHONY: down

PASSWORDS := POSTGRES_PASSWORD NATS_PASSWORD NATS_SETUP_PASSWORD NATS_STARTER_PASSWORD NATS_WORKER_PASSWORD \
	NATS_CODE_PASSWORD NATS_OPERATOR_PASSWORD NATS_VIEWER_PASSWORD NATS_ENGINE_PASSWORD GRAFANA_PASSWORD

# Passwords are made once and never have a default: a letter and hex digits, which are safe in a URL and which the NATS
# configuration never reads as an option, a number or a date.
# A .env of an earlier release gets the passwords that it lacks.
.env: FORCE
	@umask 077; touch $@; for name in $(PASSWORDS); do \
		grep -q "^$$name=" $@ || { printf '%s=p%s\n' "$$name" "$$(od -An -vtx1 -N18 /dev/urandom | tr -d ' \n')" >> $@; \
			echo "wrote a fresh $$name to .env"; }; \
	done


build: ## Build bin/worker, bin/starter and bin/devstack
	go build -tags netgo,osusergo -ldflags "$(STAMP)" -o $(BIN)/ ./worker ./starter
	$(MAKE) --no-print-directory $(BIN)/devstack
.PHONY: build

# Go decides what is out of date, quickly; make only asks.
$(BIN)/devstack: FORCE
	@mkdir -p $(BIN)
	@cd devstack && go build -o $@ .

$(BIN)/golangci-lint: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	cd tools && go build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(BIN)/workflowcheck: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	cd tools && go build -o $@ go.temporal.io/sdk/contrib/tools/workflowcheck

$(BIN)/govulncheck: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	cd tools && go build -o $@ golang.org/x/vuln/cmd/govulncheck

$(BIN)/goreleaser $(BIN)/cyclonedx-gomod: tools/release/go.mod tools/release/go.sum
	@mkdir -p $(BIN)
	cd tools/release && go build -o $(BIN)/goreleaser github.com/goreleaser/goreleaser/v2
	cd tools/release && go build -o $(BIN)/cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

release-check: $(BIN)/goreleaser ## Check .goreleaser.yaml with goreleaser, and its tools' go.mod
	cd tools/release && go mod tidy -diff
	$(BIN)/goreleaser check
.PHONY: release-check

snapshot: $(BIN)/goreleaser $(BIN)/cyclonedx-gomod ## Build what a release has into dist/: programs, archives, checksums, SBOMs
	PATH=$(BIN):$$PATH $(BIN)/goreleaser release --snapshot --clean
.PHONY: snapshot

# Every program for every platform of a release, without running it; and the tests of the sandbox for arm64.
platforms:
	@for platform in linux/arm64 darwin/amd64 darwin/arm64; do \
		echo "build for $$platform"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} CGO_ENABLED=0 go build -o /dev/null ./worker ./starter; \
	done
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go vet ./internal/sandbox
.PHONY: platforms

licenses: ## The license texts of everything in the programs, in dist/licenses
	@rm -rf dist/licenses && tools/licenses.sh dist/licenses
.PHONY: licenses

vulnerabilities: ## Known vulnerabilities in what the programs call, where the database can be reached
	.ci/vulnerabilities
.PHONY: vulnerabilities

FORCE:
.PHONY: FORCE

clean: ## Remove what was built and the state of `make dev`
	rm -rf $(BIN) .devstack dist
.PHONY: clean


check: fmt vet lint workflowcheck house tidy generated platforms ## Everything but the tests: format, vet, lint, import table, go.mod
.PHONY: check

fmt:
	@test -n "$(firstword $(GOFILES))" || { echo "git lists no Go files"; exit 1; } # gofmt without files reads standard input
	@unformatted=$$(gofmt -s -l $(GOFILES)); \
	if [ -n "$$unformatted" ]; then echo "gofmt -s -w these:"; echo "$$unformatted"; exit 1; fi
.PHONY: fmt

vet:
	go vet ./...
	cd devstack && go vet ./...
.PHONY: vet

lint: $(BIN)/golangci-lint ## Run golangci-lint over both modules
	$(BIN)/golangci-lint run ./...
	cd devstack && $(BIN)/golangci-lint run --config ../.golangci.yml ./...
.PHONY: lint

fix: $(BIN)/golangci-lint ## Format, and let the linters correct what they can
	gofmt -s -w $(GOFILES)
	-$(BIN)/golangci-lint run --fix ./...
	-cd devstack && $(BIN)/golangci-lint run --config ../.golangci.yml --fix ./...
.PHONY: fix

workflowcheck: $(BIN)/workflowcheck
	$(BIN)/workflowcheck -config tools/workflowcheck.yaml ./workflows/...
.PHONY: workflowcheck

# The import table, the size of files, links in the documents, the compose file.
house:
	go test ./internal/arch/...
.PHONY: house

# What other people's tools make of schemas/: needs Node.js and npm, and the npm registry once. They are installed in a
# hidden folder, so that no other check reads their files.
NPM := .cache/schemas

schemas-check: $(NPM)/node_modules/.package-lock.json ## Hold schemas/ against ajv, AsyncAPI's parser, an OpenAPI linter, TypeScript
	cp tools/schemas/* $(NPM)/
	@out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; \
	go test -count=1 -run '^TestDocuments_Whole$$' ./schemas -out "$$out" && node $(NPM)/check.mjs schemas "$$out"
.PHONY: schemas-check

$(NPM)/node_modules/.package-lock.json: tools/schemas/package-lock.json
	mkdir -p $(NPM) && cp tools/schemas/* $(NPM)/
	cd $(NPM) && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

# The module of the release's tools is checked by release-check: some machines cannot fetch what it needs.
tidy:
	go mod tidy -diff
	cd devstack && go mod tidy -diff
	cd tools && go mod tidy -diff
	cd deploy/helm/test && go mod tidy -diff
.PHONY: tidy

# Generated files are committed; generating them again must change nothing.
generated:
	@before=$$(git status --porcelain | sha256sum; git diff | sha256sum); \
	go generate ./...; \
	after=$$(git status --porcelain | sha256sum; git diff | sha256sum); \
	if [ "$$before" != "$$after" ]; then echo "go generate changed files; commit them:"; git status --short; exit 1; fi
.PHONY: generated


chart: ## The tests of the Helm chart: strict decoding, policy, schema of the values
	cd deploy/helm/test && go test -count=1 -v ./...
.PHONY: chart

dashboards: ## Run every query of the dashboards in a Prometheus that scrapes the stack
	cd devstack && go test -count=1 -v -timeout $(E2E_TIMEOUT) -run '^TestDashboards$$' ./e2e
.PHONY: dashboards

test: setup vet ## All tests of all modules
	go test -timeout $(TEST_TIMEOUT) ./...
	cd deploy/helm/test && go test ./...
	cd devstack && go test -timeout $(E2E_TIMEOUT) -parallel $(E2E_PARALLEL) -skip '$(SOAKONLY)' ./...
.PHONY: test

race: ## The product's tests under the race detector
	go test -race -timeout $(E2E_TIMEOUT) ./...
.PHONY: race

e2e: ## The end-to-end tests alone, with their output
	cd devstack && go test -count=1 -v -timeout $(E2E_TIMEOUT) ./e2e/...
.PHONY: e2e

histories: ## Record histories for the replay tests: make histories HISTORIES=v2 (a folder that is there is never changed)
	mkdir workflows/testdata/histories/$(HISTORIES)
	cd devstack && HOOKTURN_RECORD=$(CURDIR)/workflows/testdata/histories/$(HISTORIES) \
		go test -count=1 -timeout $(E2E_TIMEOUT) -run 'TestRecord_Histories' ./e2e
.PHONY: histories

replay: ## Replay the recorded histories against the workflows; none recorded is a failure
	@go test -count=1 -v -run Replay ./workflows/... | tee /dev/stderr | (! grep 'no tests to run' >/dev/null)
.PHONY: replay

fuzz: ## Each fuzz target for FUZZTIME (10s)
	@grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' schemas internal workflows activities | \
	sed -E 's/^(.*)\/[^/]*:func (.*)$$/\1 \2/' | sort | while read -r package target; do \
		echo "--- $$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$package"; \
	done
.PHONY: fuzz

bench: $(BIN)/devstack ## The benchmarks, side by side with Temporal alone; then those of code steps and jq programs
	@$(BIN)/devstack bench $(BENCHFLAGS)
	go test -run '^$$' -bench . ./internal/sandbox ./internal/jq
.PHONY: bench

bench-postgres: $(BIN)/devstack ## The comparison with Temporal on Debian's PostgreSQL, which it starts itself
	@$(BIN)/devstack bench --quick --temporal-postgres=start $(BENCHFLAGS)
.PHONY: bench-postgres

bench-growth: $(BIN)/devstack ## Throughput against conversations, events, bots, tenants and processes; half an hour
	@$(BIN)/devstack bench --growth $(BENCHFLAGS)
.PHONY: bench-growth

soak: ## Faults on real servers for DRILLTIME (1h), a mixed load of SOAKSTEPS (100,000), then all end-to-end tests for SOAKTIME seconds (600)
	cd devstack && HOOKTURN_DRILL_TIME=$(DRILLTIME) go test -count=1 -v -timeout 6h -run TestDrill_RealComponents ./e2e | grep -v '^=== '
	cd devstack && go test -count=1 -v -timeout 1h -run '$(SOAKONLY)' -skip RealComponents ./e2e | grep -v '^=== '
	cd devstack && HOOKTURN_E2E_POSTGRES=1 go test -count=1 -v -timeout 1h -parallel 1 -run '$(TOOLS)' ./e2e | grep -v '^=== '
	cd devstack && HOOKTURN_MIXED_STEPS=$(SOAKSTEPS) go test -count=1 -v -timeout 3h -run TestMixed_Load ./e2e | grep -v '^=== '
	@cd devstack && end=$$((SECONDS + $(SOAKTIME))); round=0; \
	while [ $$SECONDS -lt $$end ]; do \
		round=$$((round + 1)); echo "--- round $$round"; \
		go test -count=1 -timeout $(E2E_TIMEOUT) -parallel $(E2E_PARALLEL) -skip '$(SOAKONLY)' ./e2e; \
	done
.PHONY: soak
