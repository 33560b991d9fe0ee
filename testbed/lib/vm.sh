# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
#
# One VM: start it from an image (cold or from a snapshot), talk to it, stop it.
# Sets vm (its directory), vm_base (the layer with kernel and keys), vm_port.

cpus=${TESTBED_CPUS:-2}
memory=${TESTBED_MEMORY:-4096}
# Where CPUs of VMs outnumber those of the host, a thread that waits for another one may
# wait for one that does not run: one for each VM is faster then.
threads=multi
[ $((${TESTBED_VMS:-1} * cpus)) -le "$(nproc)" ] || threads=single
readonly cargo_size=4G
vm=
vm_keeper=

# machine: every qemu option the guest can see. A snapshot fits only the machine
# it was taken on, so this text is part of the key of a snapshot.
machine() {
	local accel=(-accel "tcg,thread=$threads" -cpu max)
	[ "$(accelerator)" = tcg ] || accel=(-accel kvm -cpu host)
	machine=(-nodefaults -no-user-config -machine pc "${accel[@]}" -smp "$cpus" -m "$memory"
		-display none -no-reboot -device "virtio-blk-pci,drive=root" -device "virtio-blk-pci,drive=cargo"
		-device "virtio-net-pci,netdev=net,romfile=" -device virtio-rng-pci
		-append "console=ttyS0 root=/dev/vda rw panic=-1 mitigations=off net.ifnames=0 quiet systemd.show_status=yes")
}

machine_key() {
	machine
	{ qemu-system-x86_64 --version && printf '%s\n' "${machine[@]}" "$cargo_size"; } | short_hash
}

# accelerator: kvm or tcg. /dev/kvm can exist and not work, so a kernel is booted
# in it; the answer holds until the host is rebooted or qemu changes.
accelerator() {
	local answer=$cache/accelerator about
	if [ -n "${TESTBED_ACCEL:-}" ]; then
		echo "$TESTBED_ACCEL"
		return
	fi
	about="$(cat /proc/sys/kernel/random/boot_id) $(id -u) $(qemu-system-x86_64 --version | head -n 1)"
	if [ "$(sed -n 1p "$answer" 2>/dev/null)" != "$about" ]; then
		printf '%s\n%s\n' "$about" "$(probe_kvm && echo kvm || echo tcg)" >"$scratch/accelerator"
		mv "$scratch/accelerator" "$answer"
	fi
	sed -n 2p "$answer"
}

probe_kvm() {
	[ -w /dev/kvm ] || return 1
	timeout --signal KILL 10 qemu-system-x86_64 -nodefaults -no-user-config -machine pc -accel kvm -cpu host \
		-smp 2 -m 256 -display none -serial stdio -no-reboot -kernel "$vm_base/vmlinuz" -initrd "$vm_base/initrd" \
		-append "console=ttyS0 panic=-1 quiet testbed.probe" </dev/null 2>/dev/null | grep -q TESTBED-PROBE
}

# start_vm IMAGE CARGO [SNAPSHOT]: IMAGE is copied, CARGO (a tar file or "") is
# the read-only second disk. Without SNAPSHOT the VM boots.
start_vm() {
	local image=$1 cargo=$2 snapshot=${3:-} tries
	for tries in 1 2 3 4 5; do
		new_vm_dir
		cp --reflink=auto --sparse=always "$image" "$vm/root.qcow2" || die "cannot copy the image to $vm$(disk_hint)"
		[ -z "$cargo" ] || cp --reflink=auto "$cargo" "$vm/cargo" || die "cannot copy the payload to $vm$(disk_hint)"
		truncate -s "$cargo_size" "$vm/cargo"
		launch "$snapshot"
		# The port was free a moment ago at best: take another if it is not.
		port_taken || return 0
		stop_vm
	done
	die "cannot find a free port for ssh after $tries tries"
}

new_vm_dir() {
	# In our own directory: whoever kills us gets both removed.
	vm=$(mktemp -d "$scratch/vm.XXXXXX") || die "cannot create a directory in $scratch$(disk_hint)"
	mkfifo "$vm/leash"
	exec 8<>"$vm/leash"
	# Socket names are limited to 108 bytes, so they are relative everywhere.
	cd "$vm" || die "cannot enter $vm"
}

launch() {
	machine
	vm_port=$((20000 + RANDOM % 12000 + 1))
	setsid "$testbed/lib/keeper" "$vm" qemu-system-x86_64 "${machine[@]}" \
		-kernel "$vm_base/vmlinuz" -initrd "$vm_base/initrd" ${1:+-loadvm "$1"} \
		-serial file:console.log -monitor unix:monitor,server=on,wait=off \
		-drive if=none,id=root,file=root.qcow2,format=qcow2,cache=unsafe,werror=report \
		-drive if=none,id=cargo,file=cargo,format=raw,readonly=on \
		-action "reboot=$([ "$boots" -gt 1 ] && echo reset || echo shutdown)" \
		-netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$vm_port-:22" \
		<"$vm/leash" >/dev/null 2>&1 8>&- 9>&- &
	vm_keeper=$!
	until [ -S "$vm/monitor" ] || [ -e "$vm/exited" ]; do read -r -t 0.02 <&8 || true; done
}

port_taken() { [ -e "$vm/exited" ] && grep -q 'host forwarding' "$vm/qemu.log"; }

# stop_vm: closing the leash makes the keeper kill qemu and remove everything.
stop_vm() {
	[ -n "$vm_keeper" ] || return 0
	cd /
	exec 8>&-
	wait "$vm_keeper" 2>/dev/null || true
	vm_keeper=
	vm=
}

# wait_booted SECONDS [TIMES]: until the guest has said so on its serial console.
wait_booted() {
	local deadline=$((SECONDS + $1))
	until [ "0$(grep -cs TESTBED-READY "$vm/console.log")" -ge "${2:-1}" ]; do # 0: it may not be there yet
		[ ! -e "$vm/exited" ] && [ "$SECONDS" -lt "$deadline" ] || return 1
		read -r -t 0.1 <&8 || true
	done
}

# connect SECONDS: opens the ssh connection that in_vm uses.
connect() {
	local deadline=$((SECONDS + $1))
	ssh_options=(-F none -i "$vm_base/id" -p "$vm_port" -o "UserKnownHostsFile=$vm_base/known_hosts"
		-o StrictHostKeyChecking=yes -o HostKeyAlias=testbed -o IdentitiesOnly=yes -o BatchMode=yes
		-o LogLevel=ERROR -o KexAlgorithms=curve25519-sha256 -o ServerAliveInterval=30
		-o ServerAliveCountMax=10 -o ConnectTimeout=10 -o ControlPath=ssh)
	until run_child ssh "${ssh_options[@]}" -MNf root@127.0.0.1 </dev/null >"$vm/ssh.log" 2>&1; do
		[ ! -e "$vm/exited" ] && [ "$SECONDS" -lt "$deadline" ] || return 1
		read -r -t 0.2 <&8 || true
	done
}

# in_vm [-t] COMMAND…: as root in the VM; arguments arrive as they are.
in_vm() {
	local terminal=-T
	if [ "$1" = -t ]; then
		terminal=-t
		shift
	fi
	run_child ssh "${ssh_options[@]}" "$terminal" root@127.0.0.1 "$(printf '%q ' "$@")"
}

# connected: is the connection that was opened still there?
connected() { ssh "${ssh_options[@]}" -O check root@127.0.0.1 2>/dev/null; }

# disconnect: the connection must not be part of a snapshot.
disconnect() { ssh "${ssh_options[@]}" -O exit root@127.0.0.1 2>/dev/null || true; }

# monitor COMMAND: of qemu's monitor; fails if qemu answers with an error.
monitor() {
	local answer
	answer=$(printf '%s\n' "$1" | socat -t 60 - unix-connect:monitor | tr -d '\r')
	! grep -i 'error' <<<"$answer" >&2
}

# keep_log: copies the logs of a VM that failed to where they survive it.
keep_log() {
	local kept
	mkdir -p "$cache/failed"
	kept=$cache/failed/$(date +%Y%m%d-%H%M%S)-$$.log
	cat "$vm/qemu.log" "$vm/ssh.log" "$vm/console.log" >"$kept" 2>/dev/null
	echo "$kept"
}
