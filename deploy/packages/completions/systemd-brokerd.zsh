#compdef systemd-brokerd
# SPDX-License-Identifier: MPL-2.0
#
# zsh completion for systemd-brokerd(8); asks the program.
local -a commands flags
local program=$words[1]
if (( CURRENT == 2 )); then
	commands=(${(u)${(f)"$($program help 2>/dev/null | sed -n 's/^  systemd-brokerd \([a-z]*\).*/\1/p')"}} help)
	compadd -a commands
	return
fi
local -a command=($words[2])
if [[ $words[2] == policy ]]; then
	if (( CURRENT == 3 )); then
		commands=(${(u)${(f)"$($program help 2>/dev/null | sed -n 's/^  systemd-brokerd policy \([a-z]*\).*/\1/p')"}})
		compadd -a commands
		return
	fi
	command+=($words[3])
fi
if [[ $PREFIX == -* ]]; then
	flags=(${(f)"$($program $command --help 2>&1 | sed -n 's/^  -\([a-z-]*\).*/--\1/p')"})
	compadd -a flags
	return
fi
case $words[2] in
directives) compadd $(${program} directives 2>/dev/null | sed '1d;/^$/q' | cut -d' ' -f1) ;;
profiles) compadd $(${program} profiles 2>/dev/null | cut -f1) ;;
*) _files ;;
esac
