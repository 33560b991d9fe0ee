# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
#
# What testbed/run, shell and build have in common: arguments, and a VM that is
# ready for a command.

distro=bookworm
copy=
bare=
start_nomad=yes
boots=1
command=()

# parse_arguments sets distro, copy, bare, start_nomad, boots and command.
parse_arguments() {
	while [ $# -gt 0 ]; do
		case $1 in
		--help | -h) usage && exit 0 ;;
		--distro) distro=${2-} && shift_value "$@" ;;
		--distro=*) distro=${1#*=} ;;
		--copy) copy=${2-} && shift_value "$@" ;;
		--copy=*) copy=${1#*=} ;;
		--no-nomad) start_nomad= ;;
		--bare) bare=yes start_nomad= ;;
		--boots) boots=${2-} && shift_value "$@" ;;
		--) shift && command=("$@") && break ;;
		*) wrong_usage "unknown argument '$1' (a command goes after --)" ;;
		esac
		case $1 in --distro | --copy | --boots) shift ;; esac
		shift
	done
	case $distro in
	bookworm | trixie) ;;
	*) wrong_usage "unknown distro '$distro': bookworm or trixie" ;;
	esac
	[[ $boots =~ ^[1-9]$ ]] || wrong_usage "--boots: '$boots' is not 1 to 9"
	if [ -n "$copy" ]; then
		[ -d "$copy" ] || wrong_usage "--copy: '$copy' is not a directory"
		copy=$(cd "$copy" && pwd)
	fi
}

shift_value() { [ $# -ge 2 ] || wrong_usage "$1 needs a value"; }

wrong_usage() {
	printf 'testbed: %s\n\n' "$1" >&2
	usage >&2
	exit "$FAILED"
}

# open_session: from nothing to a VM that waits for a command.
open_session() {
	local from
	"$testbed/deps" || exit "$FAILED"
	prepare_image "$distro"
	from=$EPOCHREALTIME
	if [ -n "$copy" ]; then pack "$copy" "$scratch/payload.tar"; fi
	if [ -n "$bare" ]; then
		restore_vm "$booted_image" "${copy:+$scratch/payload.tar}" booted
	else
		restore_vm "$ready_image" "${copy:+$scratch/payload.tar}" ready
	fi
	rm -f "$scratch/payload.tar"
	if [ -n "$copy" ]; then unpack /payload; fi
	say "VM ready after $(seconds_since "$from") s ($distro, $(accelerator))"
	start_nomad
}

start_nomad() {
	local from=$EPOCHREALTIME
	[ -n "$start_nomad" ] || return 0
	in_vm /usr/local/lib/testbed/start-nomad </dev/null >&2 || die "the Nomad agent did not get ready: see above"
	say "Nomad ready after $(seconds_since "$from") s"
}

# run_command: the caller's, in /payload if there is one; once in each boot, for
# as long as it succeeds.
run_command() {
	local boot in=/root
	[ -z "$copy" ] || in=/payload
	for ((boot = 1; boot <= boots; boot++)); do
		[ "$boot" -eq 1 ] || reboot
		# shellcheck disable=SC2016 # $0, $1 and $@ belong to the guest's shell
		in_vm sh -c 'cd "$0" && export TESTBED_BOOT="$1" && shift && exec "$@"' "$in" "$boot" "${command[@]}" || return
	done
}

# reboot: what "systemctl reboot" has PID 1 do, without asking logind first, which
# is not in the image.
reboot() {
	local from=$EPOCHREALTIME before
	before=$(grep -c TESTBED-READY "$vm/console.log")
	in_vm systemctl start --job-mode=replace-irreversibly --no-block reboot.target </dev/null >&2 || true # it may end the connection first
	wait_booted 180 $((before + 1)) || die "the VM did not come back from a reboot; its console is in $(keep_log)"
	disconnect
	connect 60 || die "cannot reach the VM after its reboot; its console is in $(keep_log)"
	say "rebooted after $(seconds_since "$from") s"
	start_nomad
}

# explain_loss STATUS: ssh's own failure looks like a command's exit status 255, but
# then the connection is gone. What the guest says of it is shown, as nobody can ask
# it later.
explain_loss() {
	local how="qemu ended"
	[ "$1" -eq 255 ] && ! connected || return 0
	if [ ! -e "$vm/exited" ]; then
		how="it no longer answers"
		if in_vm journalctl -q --no-pager -o short-monotonic -n 60 </dev/null >&2; then
			how="the connection to it ended; it says the above"
		fi
	fi
	say "the VM was lost before the command ended ($how); its console is in $(keep_log)"
	tail -n 20 "$vm/ssh.log" "$vm/console.log" >&2
	exit "$FAILED"
}
