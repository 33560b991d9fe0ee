# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
#
# The cached layers of an image, each named by a hash of what went into it:
#   DISTRO/<key>/base.ext4, vmlinuz, initrd, id   the Debian system
#   nomad-<key>/nomad                             the Nomad binary
#   DISTRO/<key>/booted-<key>.qcow2               booted, with Nomad; snapshot "booted"
#   DISTRO/<key>/ready-<key>.qcow2                with this repository's build; snapshot "ready"

# prepare_image DISTRO: builds what is stale; sets vm_base and ready_image.
prepare_image() {
	distro=$1
	vm_base=$cache/$distro/$({ echo "$distro" && key "$testbed/base" "$testbed/lib/base.sh"; } | short_hash)
	if [ -n "${bare-}" ]; then mkdir -p "$scratch/product"; else stage_product; fi
	hold_lock "$distro"
	[ -e "$vm_base/complete" ] || build_base
	stage_nomad
	local booted_key ready_key
	booted_key=$({ echo "$nomad_key" && machine_key && key "$testbed/guest/nomad.d" "$testbed/guest/seed-server"; } | short_hash)
	ready_key=$({ echo "$booted_key" && key "$scratch/product"; } | short_hash)
	booted_image=$vm_base/booted-$booted_key.qcow2
	ready_image=$vm_base/ready-$ready_key.qcow2
	if [ -n "${bare-}" ]; then
		[ -e "$booted_image" ] || build_booted
	elif [ ! -e "$ready_image" ]; then
		[ -e "$booted_image" ] || build_booted
		build_ready
		prune
	fi
	touch "$vm_base" "$booted_image"
	[ -n "${bare-}" ] || touch "$ready_image"
	exec 4>&-
}

# hold_lock NAME: one builder of a kind at a time; descriptor 4 holds it.
hold_lock() {
	exec 4>"$cache/lock.$1"
	flock --nonblock 4 && return
	say "waiting for another build of $1 …"
	flock 4
}

# stage_product: our own programs and files, as $scratch/product.
stage_product() {
	local out from=$EPOCHREALTIME programs=(systemd-brokerd nomad-systemd-driver systemd-brokerd-exporter systemd-brokerd-keys hello)
	out=$cache/product-$(printf '%s' "$repository" | short_hash)
	mkdir -p "$out" "$scratch/product/bin"
	hold_lock product
	ticking "this repository's programs" env CGO_ENABLED=0 GOOS=linux GOARCH=amd64 \
		"$testbed/go" build -C "$repository" -trimpath -buildvcs=false -o "$out/" \
		./cmd/systemd-brokerd ./cmd/nomad-systemd-driver ./cmd/systemd-brokerd-exporter ./cmd/systemd-brokerd-keys ./examples/hello 3>&2 >&2 ||
		die "cannot build this repository's programs: the compiler's output is above"
	cp "${programs[@]/#/$out/}" "$scratch/product/bin/" || die "cannot copy programs to $scratch$(disk_hint)"
	exec 4>&-
	cp -R "$testbed/guest" "$repository/deploy" "$scratch/product/" || die "cannot copy files to $scratch$(disk_hint)"
	say "programs are up to date after $(seconds_since "$from") s"
}

# stage_nomad: the Nomad agent, built through a module of its own.
stage_nomad() {
	nomad_key=$(key "$testbed/nomad")
	nomad=$cache/nomad-$nomad_key/nomad
	if [ ! -x "$nomad" ]; then
		need_space 3000
		hold_nomad_lock
		if [ ! -x "$nomad" ]; then
			mkdir -p "$(dirname "$nomad")"
			long "the Nomad agent" "about 4 minutes on 2 cores" env CGO_ENABLED=0 GOOS=linux GOARCH=amd64 \
				"$testbed/go" build -C "$testbed/nomad" -mod=readonly -buildvcs=false -ldflags "-s -w" \
				-o "$scratch/nomad" github.com/hashicorp/nomad
			mv "$scratch/nomad" "$nomad"
		fi
		exec 5>&-
	fi
}

# hold_nomad_lock: both distros need the same binary.
hold_nomad_lock() {
	exec 5>"$cache/lock.nomad"
	flock 5
}

# build_booted: the only cold boot. The image holds changes against base.ext4.
build_booted() {
	local from=$EPOCHREALTIME
	need_space 2500
	say "booting the $distro image (about 15 s, cached afterwards) …"
	mkdir "$scratch/nomad.d"
	install -D -m 0755 "$nomad" "$scratch/nomad.d/usr/bin/nomad"
	install -D -m 0644 -t "$scratch/nomad.d/etc/nomad.d" "$testbed"/guest/nomad.d/*.hcl
	install -D -m 0755 -t "$scratch/nomad.d/usr/local/lib/testbed" "$testbed/guest/seed-server"
	pack "$scratch/nomad.d" "$scratch/nomad.tar"
	qemu-img create -q -f qcow2 -F raw -b "$vm_base/base.ext4" "$scratch/root.qcow2"
	boot_vm "$scratch/root.qcow2" "$scratch/nomad.tar"
	unpack /
	in_vm /usr/local/lib/testbed/seed-server /usr/local/lib/testbed/server </dev/null >&2 ||
		die "cannot start a Nomad server in the $distro image: its log is above"
	save_image booted "$booted_image"
	rm "$scratch/root.qcow2" "$scratch/nomad.tar"
	say "booted the $distro image in $(seconds_since "$from") s"
}

# build_ready: installs this repository's build the way a host would have it.
build_ready() {
	local from=$EPOCHREALTIME
	say "installing this build into the $distro image (about 10 s, cached afterwards) …"
	pack "$scratch/product" "$scratch/product.tar"
	restore_vm "$booted_image" "$scratch/product.tar" booted
	monitor "delvm booted"
	unpack /run/testbed
	if ! in_vm /run/testbed/guest/install /run/testbed </dev/null >"$scratch/log" 2>&1; then
		cat "$scratch/log" >&2
		die "cannot install this build into the $distro image: the output of testbed/guest/install is above"
	fi
	save_image ready "$ready_image"
	rm "$scratch/product.tar"
	say "installed this build in $(seconds_since "$from") s"
}

# pack DIR TAR: what becomes the second disk; owned by root, no times, so that
# nothing depends on who runs this.
pack() {
	tar --create --file "$2" --directory "$1" --owner 0 --group 0 --numeric-owner . ||
		die "cannot pack $1$(disk_hint)"
	local megabytes=$(($(stat -c %s "$2") / 1048576))
	[ "$megabytes" -lt 4096 ] || die "$1 has $megabytes MB, and a VM takes 4096 MB at most"
}

# unpack DIR: the second disk, into DIR of the guest. The guest may still have
# the blocks of an earlier one in its cache.
unpack() {
	# shellcheck disable=SC2016 # $0 belongs to the guest's shell
	in_vm sh -ec 'mkdir -p "$0"; blockdev --flushbufs /dev/vdb; tar -xf /dev/vdb -C "$0"; blockdev --flushbufs /dev/vdb' "$1" \
		</dev/null || die "cannot unpack the payload to $1 in the VM"
}

# save_image SNAPSHOT FILE: freezes the running VM into FILE and ends it.
save_image() {
	in_vm sync </dev/null
	disconnect
	monitor "savevm $1" || die "cannot save the snapshot $1$(disk_hint)"
	monitor quit
	until [ -e exited ]; do read -r -t 0.05 <&8 || true; done
	mv root.qcow2 "$2.new"
	stop_vm
	mv "$2.new" "$2"
}

# boot_vm IMAGE CARGO: a cold boot; about 1 of 30 never gets ready, so twice.
boot_vm() {
	local attempt
	for attempt in 1 2; do
		start_vm "$1" "$2"
		if wait_booted 180 && connect 60; then return 0; fi
		say "the VM did not get ready (attempt $attempt of 2); its console is in $(keep_log)"
		stop_vm
	done
	die "the VM never got ready: see the console log named above, or try TESTBED_ACCEL=tcg"
}

# restore_vm IMAGE CARGO SNAPSHOT: falls back to a cold boot of the same disk.
restore_vm() {
	start_vm "$1" "$2" "$3"
	if connect 60; then
		set_clock
		return
	fi
	say "cannot restore the snapshot $3 (log: $(keep_log)); booting instead …"
	stop_vm
	boot_vm "$1" "$2"
}

# set_clock: a restored guest lives at the time of its snapshot, with the random
# numbers of its snapshot.
set_clock() {
	# shellcheck disable=SC2016 # $0 and $1 belong to the guest's shell
	in_vm sh -c 'date --set "@$0" >/dev/null; echo "$1" >/dev/urandom' \
		"${EPOCHREALTIME/,/.}" "$(head -c 32 /dev/urandom | sha256sum)" </dev/null || die "cannot set the VM's clock"
}

# prune keeps the newest 2 of each layer.
prune() {
	local old
	while read -r old; do
		remove_tree "$old"
	done < <(
		for kind in "$vm_base"/ready- "$vm_base"/booted- "$cache"/nomad- "$cache/failed/2" "$cache/$distro"/packages- "$cache/$distro"/systemd-; do
			# shellcheck disable=SC2012 # names are ours: no spaces, no newlines
			ls -dt "$kind"* 2>/dev/null | tail -n +3
		done
		ls -dt "$cache/$distro"/[0-9a-f]*/ | tail -n +3
	)
}
