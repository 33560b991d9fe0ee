# SPDX-License-Identifier: MPL-2.0
#
# fish completion for systemd-brokerd(8); asks the program.
function __systemd_brokerd_commands
    systemd-brokerd help 2>/dev/null | string replace -rf '^  systemd-brokerd ([a-z]+).*' '$1' | sort -u
end
function __systemd_brokerd_policy
    systemd-brokerd help 2>/dev/null | string replace -rf '^  systemd-brokerd policy ([a-z]+).*' '$1' | sort -u
end
function __systemd_brokerd_flags
    set -l words (commandline -opc)[2..-1]
    test "$words[1]" = policy; and set words $words[1..2]; or set words $words[1]
    systemd-brokerd $words --help 2>&1 | string replace -rf '^  -([a-z-]+).*' -- '--$1'
end
complete -c systemd-brokerd -n __fish_use_subcommand -f -a '(__systemd_brokerd_commands) help'
complete -c systemd-brokerd -n '__fish_seen_subcommand_from policy; and not __fish_seen_subcommand_from (__systemd_brokerd_policy)' -f -a '(__systemd_brokerd_policy)'
complete -c systemd-brokerd -n 'not __fish_use_subcommand' -a '(__systemd_brokerd_flags)'
complete -c systemd-brokerd -n '__fish_seen_subcommand_from directives' -f -a '(systemd-brokerd directives 2>/dev/null | string match -rg "^([A-Z]\w+) ")'
complete -c systemd-brokerd -n '__fish_seen_subcommand_from profiles' -f -a '(systemd-brokerd profiles 2>/dev/null | string match -rg "^(\S+)")'
