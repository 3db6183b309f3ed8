# Completion of cpu for fish. Made by npm run docs. Copy it to ~/.config/fish/completions

function __cpu_list_host
    set -l user (string match -r '.*@' -- (commandline -ct))
    for name in (sh -c 'case $XDG_RUNTIME_DIR in
/*) run=$XDG_RUNTIME_DIR/cpu-harness ;;
*) run=/tmp/cpu-harness-$(id -u) ;;
esac
{
  sed -n "s/^[[:space:]]*[Hh][Oo][Ss][Tt][[:space:]=]\{1,\}//p" \
    "$run"/*/ssh_config ~/.ssh/config /etc/ssh/ssh_config
  sed "s/^@[^ ]* //; s/[[:space:]].*//; s/\[\([^]]*\)\]:[0-9]*/\1/g" \
    ~/.ssh/known_hosts ~/.ssh/known_hosts2 /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
} 2>/dev/null | tr -s "[:space:]," "\n" | grep -E "^[[:alnum:]_][[:alnum:]._:/-]*$" | sort -u')
        echo "$user$name"
    end
end

# The operands before the cursor, one a line.
function __cpu_operands
    set -l words (commandline -opc)
    set -e words[1..1]
    while set -q words[1]
        switch $words[1]
            case --
                set -e words[1]
                break
            case -net --net -sp --sp -key --key -hk --hk -user --user -files --files -namespace --namespace -fstab --fstab -root --root -export --export -env --env -cd --cd -cache --cache -msize --msize -mountopts --mountopts -srv --srv -tty --tty -timeout --timeout -timeout9p --timeout9p -dump --dump
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

# __cpu_at TEST N [SUBCOMMAND]: compares the number of these operands, within a subcommand.
function __cpu_at
    set -l words (commandline -opc)
    set -q argv[3]; and test "$words[2]" != $argv[3]; and return 1
    test (count (__cpu_operands)) $argv[1] $argv[2]
end

# Completes a command that starts behind so many operands.
function __cpu_list_command
    set -l words (__cpu_operands) (commandline -ct)
    complete --do-complete=(string join -- ' ' (string escape -- $words[(math $argv[1] + 1)..-2]) "$words[-1]")
end

complete -c cpu -f
complete -c cpu -n '__cpu_at -eq 0' -o net -x -a 'tcp tcp4 tcp6 unix unix-vsock vsock' -d 'transport: tcp, tcp4, tcp6, unix, unix-vsock or vsock'
complete -c cpu -n '__cpu_at -eq 0' -o sp -x -d 'port of cpud there'
complete -c cpu -n '__cpu_at -eq 0' -o key -r -F -d 'private key to log in with, and no other'
complete -c cpu -n '__cpu_at -eq 0; and string match -q -- "-*" (commandline -ct)' -a '-useKey=false' -d 'with -useKey=false, log in without any key'
complete -c cpu -n '__cpu_at -eq 0' -o hk -r -F -d 'public key that the host must have'
complete -c cpu -n '__cpu_at -eq 0' -o user -x -d 'user to log in as'
complete -c cpu -n '__cpu_at -eq 0' -o files -x -a 'auto fuse 9p none' -d 'how your files get there: by FUSE, which is faster, by 9P, or not at all'
complete -c cpu -n '__cpu_at -eq 0; and string match -q -- "-*" (commandline -ct)' -a '-9p=false' -d 'as -files none'
complete -c cpu -n '__cpu_at -eq 0' -o namespace -x -d 'what of yours is bound over the other machine: DIR or REMOTE=LOCAL, separated by colons'
complete -c cpu -n '__cpu_at -eq 0' -o fstab -r -F -d 'fstab(5) lines to mount there besides, instead of those in $CPU_FSTAB'
complete -c cpu -n '__cpu_at -eq 0' -o fstab-strict -d 'a line of the fstab that fails ends the session'
complete -c cpu -n '__cpu_at -eq 0' -o root -x -a '(__fish_complete_directories)' -d 'what of the local file system is served'
complete -c cpu -n '__cpu_at -eq 0' -o ro -d 'serve it read-only'
complete -c cpu -n '__cpu_at -eq 0' -o export -x -a 'namespace all' -d 'what of that the other machine may see: what the namespace and the fstab name and the current directory, or all'
complete -c cpu -n '__cpu_at -eq 0' -o ssh -d 'plain ssh: no files, no mounts'
complete -c cpu -n '__cpu_at -eq 0' -o env -x -d 'variables that go there, as NAME or NAME=VALUE, separated by commas'
complete -c cpu -n '__cpu_at -eq 0' -o cd -x -a '(__fish_complete_directories)' -d 'directory to start in, instead of the current one'
complete -c cpu -n '__cpu_at -eq 0' -o cache -x -a 'strict auto always none readahead mmap loose' -d 'what the other kernel may keep of your files'
complete -c cpu -n '__cpu_at -eq 0' -o msize -x -d 'largest message of 9P'
complete -c cpu -n '__cpu_at -eq 0' -o mountopts -x -d 'more mount options of 9P, separated by commas'
complete -c cpu -n '__cpu_at -eq 0; and string match -q -- "-*" (commandline -ct)' -a '-direct=false' -d 'on one physical machine (vsock, a unix socket, loopback), have the files go past ssh'
complete -c cpu -n '__cpu_at -eq 0' -o srv -x -d 'serve files alone, without host and command, on unix:PATH, tcp:HOST:PORT or vsock:PORT'
complete -c cpu -n '__cpu_at -eq 0' -o srv-open -d 'with -srv: where others can reach it too, who need no password'
complete -c cpu -n '__cpu_at -eq 0' -o tty -x -a 'auto force no' -d 'whether the program gets a terminal'
complete -c cpu -n '__cpu_at -eq 0' -o timeout -x -d 'time for the connection and login'
complete -c cpu -n '__cpu_at -eq 0' -o timeout9p -x -d 'time for the other side to come for the files'
complete -c cpu -n '__cpu_at -eq 0' -o dry-run -d 'show what would be done there, and do nothing'
complete -c cpu -n '__cpu_at -eq 0' -o v -d 'say what is done'
complete -c cpu -n '__cpu_at -eq 0' -o d -d 'show the SSH protocol'
complete -c cpu -n '__cpu_at -eq 0' -o dbg9p -d 'show each message about files'
complete -c cpu -n '__cpu_at -eq 0' -o dump -r -F -d 'write all that -v, -d and -dbg9p say to a file'
complete -c cpu -n '__cpu_at -eq 0' -o version -d 'show the version'
complete -c cpu -n '__cpu_at -eq 0' -o help -d 'show this'
complete -c cpu -n '__cpu_at -eq 0' -a '(__cpu_list_host)'
complete -c cpu -n '__cpu_at -ge 1' -a '(__cpu_list_command 1)'
