# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
#
# What the steps of guest are made of.
api=http://127.0.0.1:4646/v1
limit=1500 # seconds for all, in an emulated VM

step() { printf '\n== %s (%d s)\n' "$1" "$SECONDS"; }

fail() {
	echo "FAILED: $1" >&2
	journalctl --no-pager -q -n 40 -u systemd-brokerd -u nomad >&2
	exit 1
}

# is WHAT GOT WANT
is() {
	[ "$2" = "$3" ] || fail "$1: '$2', want '$3'"
	printf '   %s %s\n' "$1" "${2:-none}"
}
isnt() {
	[ "$2" != "$3" ] || fail "$1: '$2' as before"
	printf '   %s %s\n' "$1" "$2"
}

install_packages() {
	dpkg -i --force-confold "$1"/systemd-brokerd_*.deb "$1"/nomad-systemd-driver_*.deb >out 2>&1 || fail "$(cat out)"
}

main_pid() { systemctl show --property MainPID --value "$1"; }

# new_agent forgets the agent's node and what its server knows: an earlier node would be
# ready for as long as its heartbeat is waited for, and be given jobs.
new_agent() {
	rm -rf /var/lib/nomad/client /var/lib/nomad/server
	cp -a /usr/local/lib/testbed/server/server /var/lib/nomad/
	chown -R nomad:nomad /var/lib/nomad/server
}

# node is the local one: of earlier lives of the agent the servers know nodes for a while.
node() { curl --silent "$api/agent/self" | jq -r .stats.client.node_id; }
driver_attribute() { curl --silent "$api/node/$(node)" | jq -r ".Attributes.\"driver.systemd.$1\""; }

# await_driver CONDITION: on the node's driver, with all attributes of the node.
await_driver() {
	local answer='' from=$SECONDS
	while [ $((SECONDS - from)) -lt 90 ]; do
		answer=$(curl --silent "$api/node/$(node)")
		if jq --exit-status ".Drivers.systemd + {Attributes} | $1" <<<"$answer" >/dev/null 2>&1; then return; fi
		sleep 0.5 # the agent may be starting: there is no event to wait for
	done
	fail "the driver did not become '$1': $(jq '.Drivers.systemd' <<<"$answer")"
}

# await_alloc sets alloc and unit when the job's task runs.
await_alloc() {
	local from=$SECONDS
	while [ $((SECONDS - from)) -lt 90 ]; do
		alloc=$(curl --silent "$api/job/packages/allocations" | jq -r '.[] | select(.ClientStatus == "running").ID')
		unit=$(systemctl list-units --plain --no-legend --state=running 'nomad-app-*' | cut -d' ' -f1)
		[ -n "$alloc" ] && [ -n "$unit" ] && return
		sleep 0.5
	done
	fail "the task does not run: $(curl --silent "$api/job/packages/allocations")"
}

same_task() {
	is "the task still is pid" "$(main_pid "$unit")" "$task"
	[ -d "/proc/$task" ] || fail "pid $task is gone"
}

# logs_go_on: a line that was written after now arrives in Nomad's log.
logs_go_on() {
	local now from=$SECONDS
	now=$(date +%s)
	while [ $((SECONDS - from)) -lt 60 ]; do
		if [ "$(nomad alloc logs -tail -n 1 "$alloc" 2>/dev/null)" -ge "$now" ] 2>/dev/null; then
			echo "   its output arrives"
			return
		fi
		sleep 0.5
	done
	fail "no output of the task arrives"
}
