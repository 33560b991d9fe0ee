# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
#
# Messages, scratch directories and long-running children, for every script of
# the test bed. A script sources this first, then calls init_testbed.

# Exit status for "the test bed failed", so that it cannot be mistaken for the
# status of the command that runs in the VM.
readonly FAILED=125

testbed=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # read by the other files
repository=$(dirname "$testbed")
cache=${TESTBED_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nomad-systemd-driver}
started_at=$EPOCHREALTIME
scratch=
scratch_keeper=
child=

say() { printf 'testbed: %s\n' "$*" >&2; }

die() {
	say "$*"
	exit "$FAILED"
}

# seconds_since T: with one decimal, T and the clock in $EPOCHREALTIME's form.
seconds_since() {
	local tenths=$(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 100000))
	printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# init_testbed: traps, cache directory, and the end of this process when its
# parent ends (unless started under nohup, which asks for the opposite).
init_testbed() {
	if [ -z "${TESTBED_LEASHED:-}" ] && [ -z "$(trap -p HUP)" ]; then
		TESTBED_LEASHED=1 exec setpriv --pdeathsig TERM "$0" "$@"
	fi
	unset TESTBED_LEASHED
	export LC_ALL=C.UTF-8
	umask 022
	{ : <&0; } 2>/dev/null || exec </dev/null
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	[ -n "$(trap -p HUP)" ] || trap 'exit 129' HUP
	mkdir -p "$cache/run" || die "cannot create the cache directory $cache: set TESTBED_CACHE to a writable place"
	sweep
	hold_scratch
}

# hold_scratch: a directory for this process, which a process of its own removes
# when this one closes the leash on descriptor 9, or is killed.
hold_scratch() {
	scratch=$(mktemp -d "$cache/run/XXXXXX") || die "cannot create a directory in $cache/run$(disk_hint)"
	mkfifo "$scratch/leash" || die "cannot write to $scratch$(disk_hint)"
	exec 9<>"$scratch/leash"
	setsid "$testbed/lib/keeper" "$scratch" <"$scratch/leash" >/dev/null 2>&1 9>&- &
	scratch_keeper=$!
	until [ -e "$scratch/lock" ]; do
		kill -0 "$scratch_keeper" 2>/dev/null || die "cannot start $testbed/lib/keeper"
		read -r -t 0.01 <&9 || true
	done
}

# sweep removes what runs left that were killed together with their keeper.
sweep() {
	local dir
	for dir in "$cache"/run/*/; do
		if [ -e "$dir/lock" ] && flock --nonblock "$dir/lock" true; then
			remove_tree "$dir"
		fi
	done
	find "$cache/run" -mindepth 1 -maxdepth 1 -mmin +60 ! -execdir test -e '{}/lock' \; -execdir rm -rf '{}' +
}

# remove_tree: never follows a mount that a killed image build left behind.
remove_tree() {
	rm -rf --one-file-system -- "$1" 2>/dev/null || sudo -n rm -rf --one-file-system -- "$1" 2>/dev/null || true
}

clean_up() {
	trap '' INT TERM HUP
	exec 7>&-
	if [ -n "$child" ]; then
		kill -TERM "$child" 2>/dev/null && wait "$child" 2>/dev/null
	fi
	if declare -F stop_vm >/dev/null; then stop_vm; fi
	if [ -n "$scratch_keeper" ]; then
		exec 9>&-
		wait "$scratch_keeper" 2>/dev/null || true
	fi
}

# run_child COMMAND…: in the foreground for the caller, but interruptible: bash
# delays traps while a foreground command runs. Descriptors 7 to 9 are leashes: a
# child that held one would outlive its welcome. They are closed here and not on
# the call, because bash keeps a copy of what it redirects for a function.
run_child() {
	local status=0
	exec 6<&0
	"$@" <&6 3>&- 6<&- 7>&- 8>&- 9>&- &
	child=$!
	exec 6<&-
	wait "$child" || status=$?
	child=
	return "$status"
}

# long WHAT HINT COMMAND…: an external command that takes its time, with
# progress on stderr; its output is shown only if it fails.
long() {
	local what=$1 hint=$2 log=$scratch/log from=$EPOCHREALTIME
	shift 2
	say "building $what ($hint, cached afterwards) …"
	if ! ticking "$what" "$@" 3>&2 >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		die "cannot build $what: the end of its output is above$(disk_hint)"
	fi
	say "built $what in $(seconds_since "$from") s"
}

# ticking WHAT COMMAND…: as it is, with a line on descriptor 3 every 15 s.
ticking() {
	local status=0
	exec 7> >(exec 2>&3 8>&- 9>&- && tick "$1")
	shift
	run_child setpriv --pdeathsig TERM "$@" </dev/null || status=$?
	exec 7>&-
	return "$status"
}

# tick WHAT: a line every 15 s until the writer of its stdin is gone.
tick() {
	local seconds=0 status=0
	trap '' INT
	while true; do
		read -r -t 15 || status=$?
		[ "$status" -gt 128 ] || return 0
		status=0
		seconds=$((seconds + 15))
		say "still building $1 ($seconds s)"
	done
}

disk_hint() {
	local free
	free=$(df --output=avail -k "$cache" | tail -n 1)
	[ "$free" -gt 1500000 ] || printf '; only %d MB are free in %s' $((free / 1024)) "$cache"
}

# need_space MEGABYTES: before work that would fail late and obscurely.
need_space() {
	local free
	free=$(($(df --output=avail -k "$cache" | tail -n 1) / 1024))
	[ "$free" -ge "$1" ] || die "only $free MB are free in $cache, $1 MB are needed: free some, or set TESTBED_CACHE to another disk"
}

# become_root sets the array as_root. Only mmdebstrap and mke2fs need it.
become_root() {
	as_root=()
	[ "$(id -u)" -eq 0 ] && return 0
	command -v sudo >/dev/null || die "building an image needs root for mmdebstrap: run as root, or install sudo"
	sudo -v || die "building an image needs root for mmdebstrap, and sudo refused"
	as_root=(sudo -n)
}

# key FILE-OR-DIR…: a short hash over the contents and names of all files.
key() {
	local path
	for path in "$@"; do
		if [ -d "$path" ]; then
			(cd "$path" && find . -type f ! -name '*~' ! -name '.*.sw?' -print0 | sort -z | xargs -0r sha256sum)
		elif [ -e "$path" ]; then
			sha256sum <"$path"
		fi
	done | short_hash
}

short_hash() { sha256sum | cut -c1-12; }
