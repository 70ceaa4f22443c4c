# Netmoth. `make` lists what there is.

PREFIX ?= /usr/local
CONFIG ?= /etc/netmoth
UNITS ?= /etc/systemd/system
BINARY = target/release/netmoth

.PHONY: help
help: ## Lists the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

.PHONY: demo
demo: ## Watches real connections between two hosts made of namespaces (installs what it needs; root or sudo).
	@scripts/demo.sh

.PHONY: build
build: ## Builds the sensor: target/release/netmoth. Needs a stable Rust compiler and a C compiler, nothing else.
	cargo build --release --locked

.PHONY: test
test: ## Runs everything that CI runs: formatting, lints, all tests. As root, or the tests that need it skip. Installs what they use.
	scripts/install-tools.sh --for-tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --locked

.PHONY: bench
bench: ## Measures the pipeline, the strategies, the live path, files, latency and the stores, beside peers and limits (installs these; root).
	scripts/install-tools.sh --for-tests
	scripts/install-tools.sh --for-benches
	cargo run --release --locked --package netmoth -- bench pipeline
	cargo run --release --locked --package netmoth -- bench connections
	cargo run --release --locked --package netmoth -- bench strategies
	cargo bench --locked --package netmoth

.PHONY: torture
torture: ## Five hundred faults of PostgreSQL and of the sensor itself, against an oracle that misses nothing (about ten minutes, root).
	NETMOTH_TORTURE_FAULTS=$${NETMOTH_TORTURE_FAULTS:-500} cargo test --locked --package netmoth --test torture -- --nocapture

.PHONY: kernels
kernels: build ## Boots Debian's kernels 5.10, 6.1, 6.12 and the newest under qemu and checks what works in each (root, some minutes).
	scripts/kernels.sh

.PHONY: fuzz
fuzz: ## Fuzzes frames, connections and capture files, a minute each (needs a nightly compiler; installs cargo-fuzz).
	scripts/fuzz.sh

.PHONY: build-ebpf
build-ebpf: ## Rebuilds the XDP program's committed object from source (installs its tool chain on Debian; root).
	scripts/build-ebpf.sh

.PHONY: install
install: build ## Installs binary, configuration (an existing one stays) and systemd unit. As root.
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/netmoth
	test -e $(DESTDIR)$(CONFIG)/config_ebpf.yml || install -D -m 640 config_ebpf.yml $(DESTDIR)$(CONFIG)/config_ebpf.yml
	install -D -m 644 scripts/netmoth.service $(DESTDIR)$(UNITS)/netmoth.service
	install -D -m 644 scripts/netmoth-tune@.service $(DESTDIR)$(UNITS)/netmoth-tune@.service
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/netmoth scripts/netmoth-*.conf
	@echo "Now: edit $(CONFIG)/config_ebpf.yml, run 'netmoth check -c $(CONFIG)/config_ebpf.yml',"
	@echo "then 'systemctl daemon-reload' and 'systemctl enable --now netmoth'."

.PHONY: uninstall
uninstall: ## Removes binary and unit; configuration and stored flows stay. As root.
	rm -f $(DESTDIR)$(PREFIX)/bin/netmoth $(DESTDIR)$(UNITS)/netmoth.service $(DESTDIR)$(UNITS)/netmoth-tune@.service
	rm -rf $(DESTDIR)$(PREFIX)/share/netmoth
