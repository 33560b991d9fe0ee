# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
#
# What the steps of the demo are written in. A step fails with the evidence.

readonly api=http://127.0.0.1:4646/v1 deadline=90
number=0 # of the step
job=     # the one submitted last
alloc=   # its allocation

step() {
	number=$((number + 1))
	printf '\n[%d/%d] %s\n' "$number" "$steps" "$1"
}

show() { sed 's/^/      /'; }

# expect WHAT VALUE PATTERN: shows a fact, and fails unless it is as expected.
expect() {
	# shellcheck disable=SC2053 # it is a pattern
	[[ $2 == $3 ]] || fail "$1: '$2' and not '$3'"
	printf '      %-31s %s\n' "$1" "${2:-(empty)}"
}

fail() {
	{
		printf '\ndemo: step %d of %d FAILED: %s\n' "$number" "$steps" "$1"
		if [ -n "$alloc" ]; then
			printf '\n-- events of job %s, allocation %s\n' "$job" "$alloc"
			events
		fi
		printf '\n-- units of tasks\n'
		systemctl list-units --all --plain --no-legend 'nomad-*.service'
		printf '\n-- journal\n'
		journalctl --no-pager --quiet -n 40 -u nomad -u systemd-brokerd -u 'nomad-*'
		printf '\ndemo: step %d of %d FAILED: %s\n' "$number" "$steps" "$1"
	} >&2
	exit 1
}

# submit JOB: of the file JOB.nomad.hcl.
submit() {
	job=$1
	alloc=
	echo "\$ nomad job run $job.nomad.hcl" | show
	nomad job run -detach "$job.nomad.hcl" >out 2>&1 || fail "nomad job run $job.nomad.hcl: $(cat out)"
}

# await FILTER COMPLAINT: until the jq filter holds for the newest allocation of
# the job. The agent answers as soon as something has changed (a blocking query).
await() {
	local index=0 answer until=$((SECONDS + deadline))
	while [ "$SECONDS" -lt "$until" ]; do
		answer=$(curl --silent --show-error --fail --max-time 30 --dump-header headers \
			"$api/job/$job/allocations?index=$index&wait=5s" 2>&1) || fail "the Nomad agent does not answer: $answer"
		index=$(sed -n 's/^X-Nomad-Index: \([0-9]*\).*/\1/Ip' headers)
		jq 'sort_by(.CreateIndex) | .[-1]' <<<"$answer" >allocation
		alloc=$(of_alloc '.ID // empty')
		if jq --exit-status "$1" allocation >/dev/null; then return; fi
	done
	fail "$2 after $deadline s"
}

# of_alloc FILTER: of the allocation that await saw last.
of_alloc() { jq --raw-output "$1" allocation; }

events() { of_alloc '.TaskStates[]?.Events[] | "\(.Type): \(.DisplayMessage)"'; }

# status PID FIELD: of /proc/PID/status.
status() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }

main_pid() { systemctl show "$1" --property=MainPID --value; }

# property NAME: of the unit $unit.
property() { systemctl show "$unit" --property="$1" --value; }

# nothing_is_left: of tasks, in systemd and in the kernel.
nothing_is_left() {
	local i left
	for ((i = 0; i < 100; i++)); do
		left=$(
			systemctl list-units --all --plain --no-legend 'nomad-*.service'
			compgen -G '/run/systemd/transient/nomad-*'
			compgen -G '/sys/fs/cgroup/brokerd.slice/brokerd-nomad.slice/nomad-*'
		)
		[ -n "$left" ] || break
		sleep 0.1 # Nomad removes a task a moment after it calls it ended
	done
	expect "left of tasks in systemd" "${left:-nothing}" nothing
}
