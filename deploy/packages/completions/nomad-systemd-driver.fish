# SPDX-License-Identifier: MPL-2.0
#
# fish completion for the commands of nomad-systemd-driver(7) that are for people.
function __nomad_systemd_driver_flags
    nomad-systemd-driver requests --help 2>&1 | string replace -rf '^  -([a-z-]+).*' -- '--$1'
end
complete -c nomad-systemd-driver -n __fish_use_subcommand -f -a 'migrate requests'
complete -c nomad-systemd-driver -n '__fish_seen_subcommand_from migrate' -l json
complete -c nomad-systemd-driver -n '__fish_seen_subcommand_from requests' -a '(__nomad_systemd_driver_flags)'
