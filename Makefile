# The one entry point. `make help` lists the targets.

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Where cargo builds, and where the real programs are installed unless WAXWING_TOOLS names a folder that has them.
target = $(or $(CARGO_TARGET_DIR),target)
install_tools = $(if $(WAXWING_TOOLS),true,tests/install-tools "$(target)/tools")

# What is in Go and what is in Rust is built side by side, since neither keeps all cores busy to its end.
.PHONY: demo
demo: ## Show a commit with sealed values on its way into a real cluster; KEEP=1 keeps it running to look around
	@echo "Building what is missing or out of date: minutes at first, nothing later."
	@$(MAKE) --no-print-directory --jobs=2 demo-tools demo-programs
	@"$(target)/debug/demo" $(if $(KEEP),--keep)

.PHONY: demo-tools
demo-tools:
	@$(install_tools) etcd kube-apiserver kube-controller-manager kubectl kwok kustomize

# One call of cargo builds all three packages: built one by one, most of what they have in common is built twice.
.PHONY: demo-programs
demo-programs:
	@cargo build --locked --bins --package waxwing --package seal --package waxwing-harness

# Twice as long as `cargo build --release` when something has changed: docs/decisions/044-what-runs-stands-together.md.
.PHONY: release
release: ## Build waxwing and seal as they are released, into target/release
	@link/release --package waxwing --package seal

# With the release build. The figures mean something on a machine that does nothing else.
.PHONY: bench
bench: ## Measure against bare loops; B=syncs runs one benchmark, SCALE=0.1 a tenth of each
	@$(install_tools) etcd kube-apiserver kube-controller-manager kubectl kustomize age age-keygen sops bao
	@link/release --package waxwing --package seal --package waxwing-bench
	@"$(target)/release/waxwing-bench" $(B)

.PHONY: tools
tools: ## Install the real programs that tests and the demo run against (minutes at first, nothing later)
	@$(install_tools)

.PHONY: generate
generate: ## Write crds/, the references in docs/ and what the chart has of them from the code
	@WAXWING_GENERATE=1 cargo test --quiet --package waxwing --test generated
	@WAXWING_GENERATE=1 cargo test --quiet --package seal --test reference

.PHONY: test
test: tools ## What CI runs: formatting, lints, all tests against the real parts, stale generated files
	@cargo fmt --all --check
	@cargo metadata --quiet --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	@cargo clippy --quiet --workspace --all-targets --locked -- --deny warnings
	@RUSTDOCFLAGS='--deny warnings' cargo doc --quiet --workspace --no-deps --locked
	@cargo test --quiet --workspace --locked --no-run
	@$(MAKE) --no-print-directory --jobs=2 --keep-going test-end-to-end test-the-rest

# These wait more than they work. A test target whose name begins with an e runs nowhere else.
.PHONY: test-end-to-end
test-end-to-end:
	@RUST_TEST_THREADS=40 cargo test --workspace --locked --no-fail-fast --test 'e*'

# What they say is shown at their end, so that it doesn't run into what the others say.
.PHONY: test-the-rest
test-the-rest:
	@{ cargo test --workspace --locked --no-fail-fast --lib --bins --test '[!e]*' && \
		cargo test --workspace --locked --no-fail-fast --doc; } >"$(target)/test-the-rest.log" 2>&1; \
		status=$$?; cat "$(target)/test-the-rest.log"; exit $$status

.PHONY: chaos
chaos: tools ## Kill the controller 200 times under load, faults and foreign writes; SEED=n repeats a run, KILLS=n changes how often
	@WAXWING_CHAOS_KILLS=$(or $(KILLS),200) $(if $(SEED),WAXWING_CHAOS_SEED=$(SEED)) \
		cargo test --locked --package waxwing --test e2e chaos:: -- --nocapture

# On the stable compiler: what cargo-fuzz asks a nightly one for is the sanitizers.
host = $(shell rustc -vV | sed -n 's/^host: //p')
fuzz_targets = $(or $(T),$(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))))
counters = -Cpasses=sancov-module $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table trace-compares) \
	-Ccodegen-units=1 -Cdebug-assertions=on -Coverflow-checks=on

.PHONY: fuzz
fuzz: ## Feed every parser with bytes that nobody would write; T=sops_open for one, SECONDS=60 for how long each
	@RUSTFLAGS='$(counters)' cargo build --locked --release --manifest-path fuzz/Cargo.toml --target $(host) --target-dir "$(target)/fuzz"
	@for name in $(fuzz_targets); do \
		mkdir -p "$(target)/fuzz/corpus/$$name" "$(target)/fuzz/failed"; echo "$$name:"; \
		"$(target)/fuzz/$(host)/release/$$name" "$(target)/fuzz/corpus/$$name" "fuzz/corpus/$$name" -verbosity=0 -print_final_stats=1 \
			-max_len=8192 -timeout=20 -rss_limit_mb=4096 -max_total_time=$(or $(SECONDS),60) \
			-artifact_prefix="$(target)/fuzz/failed/$$name-" || exit 1; \
	done
