# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
#
# What testbed/run, shell and build have in common: arguments, and a VM that is
# ready for a command.

distro=bookworm
copy=
start_nomad=yes
command=()

# parse_arguments sets distro, copy, start_nomad and command.
parse_arguments() {
	while [ $# -gt 0 ]; do
		case $1 in
		--help | -h) usage && exit 0 ;;
		--distro) distro=${2-} && shift_value "$@" ;;
		--distro=*) distro=${1#*=} ;;
		--copy) copy=${2-} && shift_value "$@" ;;
		--copy=*) copy=${1#*=} ;;
		--no-nomad) start_nomad= ;;
		--) shift && command=("$@") && break ;;
		*) wrong_usage "unknown argument '$1' (a command goes after --)" ;;
		esac
		case $1 in --distro | --copy) shift ;; esac
		shift
	done
	case $distro in
	bookworm | trixie) ;;
	*) wrong_usage "unknown distro '$distro': bookworm or trixie" ;;
	esac
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
	restore_vm "$ready_image" "${copy:+$scratch/payload.tar}" ready
	rm -f "$scratch/payload.tar"
	if [ -n "$copy" ]; then unpack /payload; fi
	say "VM ready after $(seconds_since "$from") s ($distro, $(accelerator))"
	if [ -n "$start_nomad" ]; then
		from=$EPOCHREALTIME
		in_vm /usr/local/lib/testbed/start-nomad </dev/null >&2 || die "the Nomad agent did not get ready: see above"
		say "Nomad ready after $(seconds_since "$from") s"
	fi
}

# run_command: the caller's, in /payload if there is one.
run_command() {
	if [ -n "$copy" ]; then
		# shellcheck disable=SC2016 # $@ belongs to the guest's shell
		in_vm sh -c 'cd /payload && exec "$@"' sh "${command[@]}"
	else
		in_vm "${command[@]}"
	fi
}

# explain_loss STATUS: ssh's own failure looks like a command's exit status 255.
explain_loss() {
	[ "$1" -eq 255 ] || return 0
	if ! in_vm true </dev/null 2>/dev/null; then
		say "the VM ended before the command did; its console is in $(keep_log)"
		exit "$FAILED"
	fi
}
