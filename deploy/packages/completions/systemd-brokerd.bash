# SPDX-License-Identifier: MPL-2.0
#
# bash completion for systemd-brokerd(8). Commands and flags are asked of the
# program, so that they are those of its version.

_systemd_brokerd() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} program=${COMP_WORDS[0]}
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$("$program" help 2>/dev/null | sed -n 's/^  systemd-brokerd \([a-z]*\).*/\1/p' | sort -u) help" -- "$cur")
		return
	fi
	case $prev in
	--policy | -policy)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	esac
	local command=(${COMP_WORDS[1]})
	if [ "${command[0]}" = policy ]; then
		if ((COMP_CWORD == 2)); then
			mapfile -t COMPREPLY < <(compgen -W "$("$program" help 2>/dev/null | sed -n 's/^  systemd-brokerd policy \([a-z]*\).*/\1/p' | sort -u)" -- "$cur")
			return
		fi
		command+=("${COMP_WORDS[2]}")
	fi
	case $cur in
	-*)
		mapfile -t COMPREPLY < <(compgen -W "$("$program" "${command[@]}" --help 2>&1 | sed -n 's/^  -\([a-z-]*\).*/--\1/p')" -- "$cur")
		return
		;;
	esac
	case ${command[0]} in
	directives)
		mapfile -t COMPREPLY < <(compgen -W "$("$program" directives 2>/dev/null | sed '1d;/^$/q' | cut -d' ' -f1)" -- "$cur")
		;;
	profiles)
		mapfile -t COMPREPLY < <(compgen -W "$("$program" profiles 2>/dev/null | cut -f1)" -- "$cur")
		;;
	*)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	esac
}
complete -F _systemd_brokerd systemd-brokerd
