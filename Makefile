# The one command surface: people and CI call the same targets. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
CARGO ?= cargo

.PHONY: help run demo build test test-kernels check bpf bench soak docs dashboards screenshots alerts clean rust

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: build ## build and run the detector on its embedded defaults (root); ARGS="…" are passed on
	exec target/release/yagura run $(ARGS)

demo: build ## two tenants under attack, Prometheus, VictoriaMetrics and Alertmanager beside it (root); ends with Ctrl-C; ARGS="--once"
	$(CARGO) build --release --locked -p end-to-end --bin demo
	exec target/release/demo --yagura target/release/yagura $(ARGS)

build: rust ## the release binary, target/release/yagura
	$(CARGO) build --release --locked -p exporter

test: rust ## the committed kernel object is what its source builds; then every test, live kernel included (root)
	exporter-ebpf/build.sh --check
	$(CARGO) test --workspace --locked --no-fail-fast

test-kernels: rust ## live tests on Debian's kernels 6.1 and 6.12, emulated (root); KERNEL=6.1 for one
	tools/test-kernels.sh $(KERNEL)

check: rust ## formatting, lints with warnings denied, licences and sources of dependencies
	tools/toolchain.sh lint
	tools/toolchain.sh deny
	$(CARGO) fmt --all --check
	cd exporter-ebpf && $(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	target/tools/bin/cargo-deny --workspace --config $(CURDIR)/deny.toml check --hide-inclusion-graph bans licenses sources
	target/tools/bin/cargo-deny --manifest-path exporter-ebpf/Cargo.toml --config $(CURDIR)/deny.toml check --hide-inclusion-graph bans licenses sources

bpf: ## rebuild the kernel object, exporter-ebpf/objects/
	exporter-ebpf/build.sh

bench: build ## what Yagura adds to system calls, how soon it tells, what rules cost (root, five minutes); ARGS="--rounds 3"
	$(CARGO) run --release --locked -p bench -- $(ARGS)
	$(CARGO) bench --locked -p bench --bench rules

soak: rust ## ten minutes of load with a receiver that comes and goes (root); ARGS="--minutes 2"
	$(CARGO) build --release --locked -p end-to-end --bins
	target/release/soak $(ARGS)

docs: ## rewrite the generated parts of docs/
	UPDATE_DOCS=1 $(CARGO) test --locked -p exporter --lib docs

alerts: ## rewrite the Prometheus operator's objects from alerts/
	alerts/prometheus-rules.sh recording patterns pipeline >kustomize/components/prometheus-operator/prometheus-rules.yaml
	alerts/prometheus-rules.sh detections >kustomize/components/prometheus-operator-detections/prometheus-rules.yaml

dashboards: ## rewrite dashboards/*.json from their source, and check them
	tools/toolchain.sh node
	cd dashboards && npm run --silent generate && npm run --silent check

screenshots: rust ## draw docs/images/dashboards/ anew, with a quarter of an hour's data of a real Yagura (root); ARGS="--minutes 5"
	tools/toolchain.sh screenshots
	cd dashboards/render && npm run --silent build
	$(CARGO) build --locked -p end-to-end --bins
	target/debug/screenshots $(ARGS)

clean: ## remove build products
	$(CARGO) clean
	rm -rf exporter-ebpf/target dashboards/build dashboards/node_modules dashboards/render/build dashboards/render/node_modules

rust:
	@tools/toolchain.sh rust
