# Completion of cpud for fish. Made by npm run docs. Copy it to ~/.config/fish/completions

# The operands before the cursor, one a line.
function __cpud_operands
    set -l words (commandline -opc)
    set -e words[1..1]
    while set -q words[1]
        switch $words[1]
            case --
                set -e words[1]
                break
            case -net --net -addr --addr -sp --sp -pk --pk -hk --hk -user --user -login-grace --login-grace -max-startups --max-startups -register --register -registerTO --registerTO
                set -e words[1]
                set -q words[1]; and set -e words[1]
            case '-?*'
                set -e words[1]
            case '*'
                break
        end
    end
    set -q words[1]; and string join -- \n $words
end

# __cpud_at TEST N [SUBCOMMAND]: compares the number of these operands, within a subcommand.
function __cpud_at
    set -l words (commandline -opc)
    set -q argv[3]; and test "$words[2]" != $argv[3]; and return 1
    test (count (__cpud_operands)) $argv[1] $argv[2]
end

# Completes a command that starts behind so many operands.
function __cpud_list_command
    set -l words (__cpud_operands) (commandline -ct)
    complete --do-complete=(string join -- ' ' (string escape -- $words[(math $argv[1] + 1)..-2]) "$words[-1]")
end

complete -c cpud -f
complete -c cpud -n '__cpud_at -eq 0' -o net -x -a 'tcp tcp4 tcp6 unix unix-vsock vsock' -d 'transport to listen on'
complete -c cpud -n '__cpud_at -eq 0' -o addr -x -d 'address to listen on: a host for tcp, a path for unix, a CID for vsock'
complete -c cpud -n '__cpud_at -eq 0' -o sp -x -d 'port to listen on'
complete -c cpud -n '__cpud_at -eq 0' -o pk -r -F -d 'authorized_keys of sshd(8): who may log in'
complete -c cpud -n '__cpud_at -eq 0' -o hk -r -F -d 'private host key'
complete -c cpud -n '__cpud_at -eq 0' -o insecure-no-auth -d 'let anybody in who can connect'
complete -c cpud -n '__cpud_at -eq 0' -o user -x -d 'run programs as that user, with his groups and home, instead of as the one cpud runs as'
complete -c cpud -n '__cpud_at -eq 0' -o login-grace -x -d 'time to log in'
complete -c cpud -n '__cpud_at -eq 0' -o max-startups -x -d 'connections that may be waiting to log in'
complete -c cpud -n '__cpud_at -eq 0' -o register -x -d 'say "ok" to HOST:PORT, vsock/CID:PORT or unix/PATH once this listens'
complete -c cpud -n '__cpud_at -eq 0' -o registerTO -x -d 'how long to try that'
complete -c cpud -n '__cpud_at -eq 0' -o klog -d 'log to the kernel\'s log as well'
complete -c cpud -n '__cpud_at -eq 0' -o init -d 'be PID 1: mount, load modules, reap, then serve'
complete -c cpud -n '__cpud_at -eq 0' -o d -d 'show the SSH protocol'
complete -c cpud -n '__cpud_at -eq 0' -o version -d 'show the version'
complete -c cpud -n '__cpud_at -eq 0' -o help -d 'show this'
