# What a person, and CI, can ask of this clone. `make` alone lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
LAB := tests/lab/lab
TOPOLOGY ?= stacked
KUBERNETES_VERSION ?= 1.20.2
INVENTORY_stacked := inventories/lab
INVENTORY_external_etcd := inventories/lab_external_etcd
INVENTORY := $(INVENTORY_$(TOPOLOGY))
# Another version than the one that the lab builds comes from upstream. Untried: it needs the internet.
UPSTREAM := $(if $(filter-out 1.20.2,$(KUBERNETES_VERSION)),-e @tests/lab/upstream.yml -e cluster_kubernetes_version=$(KUBERNETES_VERSION))

export KUBERNETES_VERSION
export PATH := $(CURDIR)/$(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help
help: ## list what can be asked
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

$(VENV)/installed: tests/requirements.txt
	python3 -c 'import ensurepip, venv' 2>/dev/null || { apt-get update -qq; apt-get install -qq -y python3-venv; }
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade --requirement tests/requirements.txt
	touch $@

.PHONY: lab-up
lab-up: ## boot the lab's hosts
	@[ -n "$(INVENTORY)" ] || { echo "TOPOLOGY: found '$(TOPOLOGY)', wanted 'stacked' or 'external_etcd'." >&2; exit 2; }
	$(LAB) up --topology $(TOPOLOGY)
	ln -sfn ../$(INVENTORY) .lab/inventory

.PHONY: cluster
cluster: $(VENV)/installed lab-up ## build a highly available cluster on the lab's hosts
	ansible-playbook site.yml -i $(INVENTORY) $(UPSTREAM)
	@echo
	@echo "Your cluster:      .lab/kubectl --kubeconfig .lab/kubeconfig get nodes"
	@echo "A host of it:      ssh -F .lab/ssh_config cp1"
	@echo "The lab itself:    $(LAB) --help"
	@echo "Away with it all:  make lab-down"

.PHONY: plan
plan: $(VENV)/installed ## say what make cluster would do, and why
	ansible-playbook playbooks/plan.yml -i $(INVENTORY) $(UPSTREAM)

.PHONY: lint
lint: $(VENV)/installed ## style of Python, YAML, roles, modules and documentation
	ruff check
	ruff format --check
	yamllint --strict .
	ansible-lint --offline --strict
	antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .collections/ansible_collections/kubeadm/ha

.PHONY: sanity
sanity: $(VENV)/installed ## ansible-test's own tests of the collection, none ignored
	python tests/sanity/run.py

.PHONY: unit
unit: $(VENV)/installed ## the decisions, by examples and by properties
	pytest tests/unit

.PHONY: etcd
etcd: $(VENV)/installed ## changes of membership, on real etcd; ETCD_SEQUENCES=1000 ETCD_SEED=1 for many random ones
	pytest tests/etcd

.PHONY: integration
integration: $(VENV)/installed ## wrong inventories, refused by the real playbook before any host is looked at
	pytest tests/integration

.PHONY: kubeadm
kubeadm: $(VENV)/installed ## what is rendered for kubeadm and what is refused, held against the real one
	pytest tests/kubeadm

.PHONY: molecule
molecule: $(VENV)/installed ## scenarios for one role, and for one control plane, on the lab
	molecule test --all

.PHONY: kernel
kernel: $(VENV)/installed ## preflight on a kernel of its own, in qemu: swap, modules, sysctls, reboots
	pytest tests/kernel

.PHONY: e2e
e2e: $(VENV)/installed ## a real cluster on the lab: built, run again, shuffled, struck, extended
	pytest tests/e2e

.PHONY: virtual-ip
virtual-ip: $(VENV)/installed ## an address that moves between two load balancers when it should, and at no other time
	pytest tests/virtual_ip

.PHONY: variants
variants: $(VENV)/installed ## a second cluster, with other choices than the first wherever there is one
	pytest tests/variants

.PHONY: operations
operations: $(VENV)/installed ## hosts added, removed, recovered and reset, snapshots taken and restored, while a client writes
	pytest tests/operations

.PHONY: external
external: $(VENV)/installed ## a third cluster: etcd on hosts of its own, a virtual IP, and their failovers
	pytest tests/external

.PHONY: faults
faults: $(VENV)/installed ## a cluster that meets with one fault after the other: networks, disks, clocks, credentials
	pytest tests/faults

.PHONY: test-chaos
test-chaos: $(VENV)/installed ## kill a build, a scale-up and a replacement everywhere; resumes; CHAOS_ONLY=pattern for some
	PYTHONPATH=.collections:tests/lab:tests/shared python tests/chaos/run.py

.PHONY: test
test: $(VENV)/installed ## all that CI runs; closes with a count
	tests/run

.PHONY: bench
bench: $(VENV)/installed ## the figures of the performance goals, as ratios in one run
	PYTHONPATH=.collections:tests/lab:tests/shared python tests/bench/bench.py

.PHONY: build
build: $(VENV)/installed ## the collection as a file for ansible-galaxy
	ansible-galaxy collection build --force

.PHONY: lab-down
lab-down: ## stop and remove every lab host; caches stay
	$(LAB) down
	$(LAB) vm down
	rm -f .lab/kubeconfig* # they lead to a cluster that is gone

.PHONY: clean
clean: lab-down ## also remove the caches and the Python environment
	$(LAB) clean
	rm -rf $(VENV) .lab $${SANITY_CACHE:-/var/cache/kubeadm-ha-sanity}
