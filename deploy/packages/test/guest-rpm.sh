# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
#
# guest-rpm.sh: the life of the RPM packages, as far as a host of Debian can tell: rpm
# knows nothing of what Debian's packages provide, and SELinux is not there.

rpm() { ./rpm/rpm --force-debian "$@" >out 2>&1 || fail "rpm $*: $(cat out)"; }
rpms() { echo "$1"/systemd-brokerd-[0-9]*.rpm "$1"/nomad-systemd-driver-*.rpm; }

step "RPM: install"
# shellcheck disable=SC2046 # two files
rpm --install --nodeps $(rpms 1.0.0)
rpm --verify --nodeps systemd-brokerd nomad-systemd-driver
is "what rpm finds changed" "$(cat out)" ""
systemctl enable --quiet --now systemd-brokerd.socket systemd-brokerd-fds.socket systemd-brokerd-mounts.socket systemd-brokerd.service
is "policy" "$(systemd-brokerd policy check | head -n 1 | cut -d' ' -f2)" good,
new_agent
mkdir -p /etc/systemd/system/nomad.service.d
ln -s /usr/share/nomad-systemd-driver/unprivileged.conf /etc/systemd/system/nomad.service.d/
systemctl daemon-reload
systemctl start nomad || fail "the agent does not start"
await_driver '.Healthy'
nomad job run -detach job.nomad.hcl >out 2>&1 || fail "the job is not taken"
await_alloc
task=$(main_pid "$unit")
echo "# mine" >>/etc/systemd-brokerd/policy.d/10-nomad.hcl

step "RPM: upgrade while it runs"
broker=$(main_pid systemd-brokerd)
# shellcheck disable=SC2046 # two files
rpm --upgrade --nodeps $(rpms 1.1.0)
isnt "the broker was restarted: its pid was $broker, and is" "$(main_pid systemd-brokerd)" "$broker"
is "program" "$(systemd-brokerd version)" "systemd-brokerd 1.1.0"
is "the policy keeps" "$(tail -n 1 /etc/systemd-brokerd/policy.d/10-nomad.hcl)" "# mine"
is "PID 1 knows the unit that is on the disk" "$(systemctl show --property NeedDaemonReload --value systemd-brokerd.service)" no
same_task
await_driver '.Attributes."driver.systemd.broker.version" == "1.1.0" and .Healthy'

step "RPM: downgrade"
# shellcheck disable=SC2046 # two files
rpm --upgrade --oldpackage --nodeps $(rpms 1.0.0)
await_driver '.Attributes."driver.systemd.broker.version" == "1.0.0" and .Healthy'
is "the policy keeps" "$(tail -n 1 /etc/systemd-brokerd/policy.d/10-nomad.hcl)" "# mine"
same_task

step "RPM: erase"
rpm --erase --nodeps nomad-systemd-driver systemd-brokerd
grep -qF "$unit" out || fail "it does not name the task that goes on: $(cat out)"
is "the socket is" "$(systemctl is-active systemd-brokerd.socket)" inactive
is "PID 1 finds the unit" "$(systemctl show --property LoadState --value systemd-brokerd.service)" not-found
is "entries of the catalog" "$(journalctl --list-catalog 2>/dev/null | grep -c 6d3df12d1b594569b91d74834c89a823)" 0
is "the policy is kept as" "$(tail -n 1 /etc/systemd-brokerd/policy.d/10-nomad.hcl.rpmsave)" "# mine"
same_task
nomad job stop -detach -purge packages >/dev/null || fail "the job cannot be stopped"
systemctl stop nomad
systemctl reset-failed nomad
systemctl stop "$unit"
[ ! -e "/proc/$task" ] || fail "the task outlives its unit"
rm -r /etc/systemd/system/nomad.service.d /etc/systemd-brokerd
