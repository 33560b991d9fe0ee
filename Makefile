# SPDX-License-Identifier: MPL-2.0
#
# Nothing needs preparing: each target gets what it needs, and says so.
SHELL         := /bin/bash
.SHELLFLAGS   := -euo pipefail -c
MAKEFLAGS     += --no-print-directory
.DEFAULT_GOAL := help

ARCHES   ?= amd64 arm64
GO       ?= $(CURDIR)/testbed/go
VERSION  ?= $(shell deploy/packages/version)
DISTRO   ?= bookworm
FUZZTIME ?= 30s
VULNDB   ?=
RUN      ?=

# The same flags for all but -race: Nomad's many packages are compiled once.
export GOFLAGS     := -trimpath -buildvcs=false
export CGO_ENABLED := 0
export GOTOOLCHAIN := local

cache   := $(or $(TESTBED_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/nomad-systemd-driver)
# Run with ALL=1, or when RUN names them: a minute of re-executions of PID 1, a unit for
# each of a thousand values, minutes of storms, races, faults, of a broker that dies, of one
# that lacks capabilities, of tasks that end in a manager of a user, of each file system,
# and of each hostile string in each place of a request.
slow    := TestRealStartsDuringReexec|TestRealReadBack|TestStorm|TestRaces|TestWindows|TestEachCapability|TestBrokerDiesAtEachStep|TestFault|TestUnitOfAnAdministrator|TestEndOfATaskInItsUsersManager|TestNothingSurvivesATaskInItsUsersManager|TestHostileStringsAcrossReload|TestFileSystems
# Run on the other distro only, unless ALL=1 or RUN names them: what is Nomad's, the
# driver's or the policy's alone is the same on each systemd.
skip_on_bookworm := TestTaskInItsUsersManager|TestRestartFindsItsModes|TestMigratedJobRuns|TestSwapLimitBites|TestBadInput|TestPolicyMatchers|TestVolumesAreRefused|TestUsersManagerIsRefused|TestProgramThatOthersCanChange|TestJobsOutwait|TestDeniedJobGetsItsRule|TestExecIsRefused|TestLinesToTheJournal|TestAgentInAContainer|TestAllocSignal|TestLogIsExact|TestSocketsTellUsersApart|TestDeviceOfAPlugin|TestVaultToken|TestSignalTarget|TestNoLog
skip_on_trixie   := TestExecEnds|TestLogCollectorDies|TestAgentRemovesWhatALostTaskLeft|TestProofOfIdentity|TestDirectivesAreRefused|TestLongKillTimeout|TestUnitThatNoTaskKnows|TestUnitsThatVanished|TestPolicyTools|TestTemplateThatChanges|TestPolicyFollows|TestExitIsToldLater|TestLogOfEachRun|TestStopSends|TestStopKills|TestExitCodeReaches|TestSignalReaches|TestTutorialIsTrue|TestHostilePolicyFiles|TestSessionIsMapped|TestDynamicVolume|TestVolumeMountThatIsReadOnly|TestExecStreams|TestUserOfTheJob
# PASSED: those that a first try had no need to run again.
skip    := $(if $(RUN)$(ALL),,$(slow)|$(skip_on_$(DISTRO))$(if $(PASSED),|$(PASSED)))
# testargs: -test.short tries fewer values where neither RUN nor ALL is given.
# The last test reboots the VM: unless RUN names others.
reboot  := $(if $(RUN),$(findstring Reboot,$(RUN)),yes)
testargs = -test.v $(if $(RUN)$(ALL),,-test.short) $(E2EFLAGS) -test.parallel 6 -test.timeout 60m -test.run
with_go  = PATH="$$($(GO) env GOROOT)/bin:$$PATH"

# $(call tool,NAME,VERSION,PACKAGE): built from the Go module proxy into the cache.
define tool
$(1) := $(cache)/tools/$(1)-$(2)/$(1)
$$($(1)):
	@echo "building $(1) $(2) (about 2 minutes, cached afterwards) …"
	@GOBIN=$$(@D) $(GO) install $(3)@$(2)
endef
$(eval $(call tool,golangci-lint,v2.15.0,github.com/golangci/golangci-lint/v2/cmd/golangci-lint))
$(eval $(call tool,buf,v1.75.0,github.com/bufbuild/buf/cmd/buf))
# Newer ones need modules that the Go module proxy does not have everywhere.
$(eval $(call tool,nfpm,v2.45.2,github.com/goreleaser/nfpm/v2/cmd/nfpm))
$(eval $(call tool,go-md2man,v2.0.7,github.com/cpuguy83/go-md2man/v2))
$(eval $(call tool,cyclonedx-gomod,v1.10.0,github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod))
$(eval $(call tool,govulncheck,v1.9.0,golang.org/x/vuln/cmd/govulncheck))

.PHONY: help build test unit lint proto proto-check e2e bench replay demo shell fuzz attack mutants mutants-vm vuln clean cc \
	packages package-check package-test quick-start newcomer release release-check
help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

build: ## build the programs into bin/ (VERSION=…)
	@$(GO) build -ldflags "-X main.version=$(VERSION) -X nomad-systemd-driver/driver.Version=$(VERSION)" \
		-o bin/ ./cmd/...

test: ## all tests: lint, unit, generated code, fuzz tests, end to end on both distros
	@testbed/suite

unit: cc ## unit tests with the race detector (RUN=regexp)
	@CGO_ENABLED=1 $(GO) test -race $(if $(RUN),-run '$(RUN)') $(TESTFLAGS) ./...

lint: $(golangci-lint) ## golangci-lint
	@$(with_go) $(golangci-lint) run

proto: $(buf) ## generate the Go code of the broker API again
	@cd proto && $(with_go) $(buf) generate

proto-check: $(buf) ## lint the broker API; is the generated code current?
	@cd proto && $(with_go) $(buf) lint
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	cd proto && $(with_go) $(buf) generate --output "$$fresh" && \
	for f in broker/v1/*.pb.go; do cmp "$$f" "$$fresh/$$f" || { echo "$$f is not current: run 'make proto' and commit"; exit 1; }; done

e2e: ## end-to-end tests in a VM (DISTRO=bookworm|trixie RUN=regexp ALL=1)
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; chmod 0755 "$$dir"; \
	$(GO) test -c -tags e2e -o "$$dir/" ./broker/systemd ./broker/directive ./testbed/e2e ./testbed/e2e/tutorial; \
	$(GO) -C testbed/harness test -c -tags e2e -o "$$dir/" .; \
	CGO_ENABLED=0 $(GO) build -ldflags '-X main.version=9999.0.0' -o "$$dir/systemd-brokerd-next" ./cmd/systemd-brokerd; \
	CGO_ENABLED=0 $(GO) build -tags crashpoint -o "$$dir/systemd-brokerd-crash" ./cmd/systemd-brokerd; \
	CGO_ENABLED=0 $(GO) build -o "$$dir/" ./testbed/device; \
	testbed/run --distro $(DISTRO) --copy "$$dir" --boots $(if $(reboot),2,1) -- sh -c '\
		if [ $$TESTBED_BOOT = 2 ]; then E2E_REBOOT=after exec ./e2e.test $(testargs) TestReboot; fi; \
		./systemd.test $(testargs) "$(or $(RUN),TestReal)" $(if $(skip),-test.skip "$(skip)"); systemd=$$?; \
		./directive.test $(testargs) "$(or $(RUN),TestReal)"; directive=$$?; \
		./tutorial.test $(testargs) "$(RUN)" $(if $(skip),-test.skip "$(skip)"); tutorial=$$?; \
		./e2e.test $(testargs) "$(RUN)" -test.skip "TestReboot$(if $(skip),|$(skip))"; e2e=$$?; \
		NOMAD_TEST_LOG_LEVEL=off setpriv --reuid nomad --regid nomad --init-groups ./harness.test $(testargs) "$(RUN)" && \
		$(if $(reboot),E2E_REBOOT=before ./e2e.test $(testargs) TestReboot &&) exit $$((systemd + directive + tutorial + e2e))'

# Figures worth keeping go where the report reads them. A comma would end an argument.
comma   := ,
figures = $(if $(QUICK),bin/performance,docs/performance)
bench: cc ## measure against peers in a VM, an hour; report in docs/performance (DISTRO=… QUICK=1 ONLY=… UNITS=1000 ROUNDS=10 EXEC2=PROGRAM)
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; chmod 0755 "$$dir"; mkdir -p $(figures); \
	if [ -n "$(if $(ONLY),$(findstring nomad,$(ONLY)),all)" ]; then \
		echo "building a Nomad with the exec driver (about 6 minutes, cached afterwards) …"; \
		CGO_ENABLED=1 $(GO) -C testbed/nomad build -mod=readonly -tags netgo,osusergo -ldflags '-s -w -linkmode external -extldflags -static' \
			-o "$$dir/nomad" github.com/hashicorp/nomad; \
		$(if $(EXEC2),cp "$(EXEC2)" "$$dir/nomad-driver-exec2";) \
	fi; \
	if [ -n "$(if $(ONLY),$(findstring starts,$(ONLY))$(findstring podman,$(ONLY)),all)" ]; then \
		packages=$$(testbed/packages --distro $(DISTRO) -- podman crun); cp -r "$$packages" "$$dir/packages"; \
	fi; \
	$(GO) -C testbed/bench build -o "$$dir/" . ./worker; $(GO) -C testbed/bench build -o "$(CURDIR)/bin/bench-report" ./report; \
	from=$$(cut -d' ' -f1-3 /proc/loadavg); \
	testbed/run --distro $(DISTRO) --copy "$$dir" --no-nomad -- ./bench $(if $(QUICK),-quick) $(if $(ONLY),-only "machine$(comma)$(ONLY)") \
		$(if $(UNITS),-units $(UNITS)) $(if $(ROUNDS),-rounds $(ROUNDS)) >"$$dir/figures" || \
		echo "some of it failed: see above; the report is of the rest"; \
	echo "machine,\"host of $(or $(ONLY),all)\",load of $$(nproc) CPUs before: $$from; after: $$(cut -d' ' -f1-3 /proc/loadavg),0,0," >>"$$dir/figures"; \
	bin/bench-report "$$dir/figures" $(DISTRO) $(figures); \
	echo "see $(figures)/$(DISTRO).md"

replay: ## systemd's own test-execute units as requests to the broker (DISTRO=…)
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; chmod 0755 "$$dir"; \
	source=$$(testbed/systemd-source --distro $(DISTRO)); \
	cp -r "$$source" "$$dir/systemd"; cp testbed/replay/testdata/$(DISTRO).tsv "$$dir/expected"; \
	$(GO) test -c -tags e2e -o "$$dir/" ./testbed/replay; \
	TESTBED_CPUS=3 testbed/run --distro $(DISTRO) --copy "$$dir" --no-nomad -- \
		./replay.test -test.v -test.run TestReplay -source systemd -expected expected

demo: ## watch real jobs run in a VM (DISTRO=…)
	@testbed/demo/run --distro $(DISTRO)

shell: ## a root prompt in a VM with everything installed (DISTRO=…)
	@testbed/shell --distro $(DISTRO)

fuzz: ## run each fuzz test for a while (FUZZTIME=30s RUN=regexp)
	@FUZZTIME=$(FUZZTIME) RUN='$(RUN)' GO=$(GO) testbed/fuzz

attack: cc ## all that the catalogue of attacks names, and a table (FUZZTIME=… DISTROS=… STEPS="vuln unit fuzz vm" AGAIN=1)
	@FUZZTIME=$(FUZZTIME) testbed/attack/run

mutants: ## break the code in each way of testbed/attack/mutants.tsv, which its test must notice
	@$(with_go) $(GO) test ./testbed/attack -count=1 -v -timeout 120m -run 'TestMutants$(if $(RUN),/$(RUN))' -mutants

mutants-vm: ## the same for testbed/attack/mutants-vm.tsv, whose tests need a VM; 3 to 18 minutes each (DISTRO=… RUN=regexp)
	@DISTRO=$(DISTRO) RUN='$(RUN)' testbed/attack/mutants-vm

vuln: $(govulncheck) build ## known vulnerabilities in the source and in the programs (VULNDB=URL)
	@db=$(or $(VULNDB),$$(testbed/vulndb)); $(with_go) $(govulncheck) -db "$$db" ./...; \
	for program in cmd/*; do $(with_go) $(govulncheck) -db "$$db" -mode binary "bin/$${program#*/}"; done

packages: $(nfpm) $(go-md2man) ## build .deb and .rpm into dist/ (ARCHES="amd64 arm64" VERSION=…)
	@GO=$(GO) VERSION=$(VERSION) deploy/packages/build $(nfpm) $(go-md2man) dist $(ARCHES)

package-check: $(nfpm) $(go-md2man) ## what is in the packages; are they built the same twice?
	@GO=$(GO) deploy/packages/check $(nfpm) $(go-md2man) $(cache)/tools

package-test: $(nfpm) $(go-md2man) ## install, upgrade, downgrade, remove, purge in a VM (DISTRO=…)
	@GO=$(GO) deploy/packages/test/run $(nfpm) $(go-md2man) $(DISTRO)

quick-start: $(nfpm) $(go-md2man) ## do what docs/quick-start.md says, in a VM (DISTRO=…)
	@GO=$(GO) deploy/packages/test/quick-start $(nfpm) $(go-md2man) $(DISTRO)

newcomer: $(nfpm) $(go-md2man) ## write docs/newcomer.md: the quick start as it happens on Debian 13
	@out=$$(mktemp); trap 'rm -f "$$out" "$$out.md"' EXIT; \
	GO=$(GO) deploy/packages/test/quick-start $(nfpm) $(go-md2man) trixie | tee "$$out"; \
	deploy/packages/test/transcript docs/quick-start.md "$$out" >"$$out.md" && cp "$$out.md" docs/newcomer.md

release: $(nfpm) $(go-md2man) $(cyclonedx-gomod) ## packages, SBOM, changelog and checksums into dist/ (SIGNING_KEY=…)
	@GO=$(GO) VERSION=$(VERSION) deploy/packages/release $(nfpm) $(go-md2man) $(cyclonedx-gomod) dist

release-check: $(nfpm) $(go-md2man) $(cyclonedx-gomod) ## make a release of a clone, and look at it
	@GO=$(GO) deploy/packages/release-check $(nfpm) $(go-md2man) $(cyclonedx-gomod)

clean: ## remove bin/ and all cached images, tools and test binaries
	rm -rf bin dist $(cache)

# The race detector needs a C compiler.
cc:
	@echo '#include <pthread.h>' | cc -E - >/dev/null 2>&1 || testbed/deps --only gcc libc6-dev
