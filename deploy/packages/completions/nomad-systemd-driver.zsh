#compdef nomad-systemd-driver
# SPDX-License-Identifier: MPL-2.0
#
# zsh completion for the commands of nomad-systemd-driver(7) that are for people.
local program=$words[1]
if (( CURRENT == 2 )); then
	compadd -- migrate requests --help
	return
fi
case $words[2]:$PREFIX in
migrate:-*) compadd -- --json --help ;;
requests:-*) compadd -- ${(f)"$($program requests --help 2>&1 | sed -n 's/^  -\([a-z-]*\).*/--\1/p')"} ;;
*) _files ;;
esac
