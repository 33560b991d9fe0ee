# SPDX-License-Identifier: MPL-2.0
#
# bash completion for the commands of nomad-systemd-driver(7) that are for people.

_nomad_systemd_driver() {
	local cur=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]}
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "migrate requests --help" -- "$cur")
		return
	fi
	case ${COMP_WORDS[1]}:$cur in
	migrate:-*) mapfile -t COMPREPLY < <(compgen -W "--json --help" -- "$cur") ;;
	requests:-*)
		mapfile -t COMPREPLY < <(compgen -W "$("$program" requests --help 2>&1 | sed -n 's/^  -\([a-z-]*\).*/--\1/p')" -- "$cur")
		;;
	*) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}
complete -F _nomad_systemd_driver nomad-systemd-driver
