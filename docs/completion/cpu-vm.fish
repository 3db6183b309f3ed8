# Completion of cpu-vm for fish. Made by npm run docs. Copy it to ~/.config/fish/completions

function __cpu_vm_list_machine
    set -l user (string match -r '.*@' -- (commandline -ct))
    for name in (sh -c 'case $XDG_RUNTIME_DIR in
/*) run=$XDG_RUNTIME_DIR/cpu-harness ;;
*) run=/tmp/cpu-harness-$(id -u) ;;
esac
for state in "$run"/*/machine.json; do
  [ -f "$state" ] && basename "$(dirname "$state")"
done | grep -E "^[[:alnum:]][[:alnum:]._-]*$"')
        echo "$user$name"
    end
end

# The operands before the cursor, one a line.
function __cpu_vm_operands
    set -l words (commandline -opc)
    set -e words[1..2]
    while set -q words[1]
        switch $words[1]
            case --
                set -e words[1]
                break
            case -name --name -arch --arch -kernel --kernel -modules --modules -module --module -machine --machine -append --append -memory --memory -cpus --cpus -share --share -disk --disk -root --root -net --net -accel --accel -boot-timeout --boot-timeout -qemu-arg --qemu-arg -namespace --namespace -fstab --fstab -timeout --timeout -snapshot --snapshot -result --result -only --only -jobs --jobs -memory-budget --memory-budget -junit --junit -json --json -output --output -fetch --fetch -o --o -keys --keys -hk --hk -hostname --hostname
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

# __cpu_vm_at TEST N [SUBCOMMAND]: compares the number of these operands, within a subcommand.
function __cpu_vm_at
    set -l words (commandline -opc)
    set -q argv[3]; and test "$words[2]" != $argv[3]; and return 1
    test (count (__cpu_vm_operands)) $argv[1] $argv[2]
end

# Completes a command that starts behind so many operands.
function __cpu_vm_list_command
    set -l words (__cpu_vm_operands) (commandline -ct)
    complete --do-complete=(string join -- ' ' (string escape -- $words[(math $argv[1] + 1)..-2]) "$words[-1]")
end

complete -c cpu-vm -f
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a start -d 'Starts a virtual machine with cpud in it, and leaves it running'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a run -d 'Runs a command in a virtual machine of its own, with your files under it'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a test -d 'Runs a matrix of kernels, configurations and commands (docs/ci.md), with its results as TAP'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a config -d 'Shows what the flags of run, start and exec are here without any, and where that is from'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a exec -d 'Runs a command in a machine that was started, or a shell'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a console -d 'Shows a machine\'s serial console from its beginning, follows it, and types there what is typed here. Ctrl-] leaves, and ~. at the start of a line'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a log -d 'Shows what a machine\'s console has said'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a wait -d 'Waits until a machine is ready, or has ended'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a stop -d 'Stops machines and removes their files'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a list -d 'Shows the machines that run'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a kernel -d 'Shows which kernels can be booted here, and what each lacks: those in the cache, in /boot, and where one was built; or those that are named. Or fetches one'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a image -d 'Builds a guest\'s file system for a kernel, unless it is in the cache, and shows where it is and what its parts weigh; or writes one for a machine of your own'
complete -c cpu-vm -n 'test (count (commandline -opc)) -eq 1' -a doctor -d 'Shows what works on this machine, and what to do'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o name -x -d 'name of the machine'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o arch -x -a 'x86_64 aarch64' -d 'the guest\'s processor'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o kernel -r -F -d 'bzImage, arm64 Image or vmlinux to boot, the directory where one was built, or a release that cpu-vm kernel shows'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o modules -x -a '(__fish_complete_directories)' -d 'the kernel\'s lib/modules/RELEASE'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o module -x -d 'one more kernel module for the guest, such as ext4, with what it depends on'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o machine -x -a 'q35 microvm virt' -d 'QEMU\'s board'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o append -x -d 'more of the kernel\'s command line'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o memory -x -d 'memory'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o cpus -x -d 'processors'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o share -x -d 'directory to share by virtiofs, read-only with :ro'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o disk -x -d 'file or block device that is /dev/vda there, the next one vdb, and so on'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o root -x -d 'the guest\'s root file system: virtiofs or 9p for this machine\'s own, or that in DIR, where nothing of it is changed'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o net -x -a 'auto vsock vhost-user tcp serial both none' -d 'how the machine is reached: auto takes the first that works of vsock, vhost-user (vhost-device-vsock), tcp and serial'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o accel -x -a 'auto kvm tcg' -d 'auto takes KVM where it works, else emulates the processor'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o nested -d 'KVM and vhost-vsock in the guest, for guests of its own'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o boot-timeout -x -d 'limit of the boot'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o gdb -d 'a debugger\'s way into the guest, a socket in the machine\'s directory'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o debug -d 'QEMU\'s monitor: cpu-vm console -monitor NAME'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o qemu-arg -x -d 'one more argument of QEMU'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o keep -d 'leave the machine as it is in the end, whatever happens, until cpu-vm stop'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o dry-run -d 'show the command lines, and start nothing'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 start' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o name -x -d 'name of the machine'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o arch -x -a 'x86_64 aarch64' -d 'the guest\'s processor'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o kernel -r -F -d 'bzImage, arm64 Image or vmlinux to boot, the directory where one was built, or a release that cpu-vm kernel shows'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o modules -x -a '(__fish_complete_directories)' -d 'the kernel\'s lib/modules/RELEASE'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o module -x -d 'one more kernel module for the guest, such as ext4, with what it depends on'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o machine -x -a 'q35 microvm virt' -d 'QEMU\'s board'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o append -x -d 'more of the kernel\'s command line'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o memory -x -d 'memory'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o cpus -x -d 'processors'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o share -x -d 'directory to share by virtiofs, read-only with :ro'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o disk -x -d 'file or block device that is /dev/vda there, the next one vdb, and so on'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o root -x -d 'the guest\'s root file system: virtiofs or 9p for this machine\'s own, or that in DIR, where nothing of it is changed'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o net -x -a 'auto vsock vhost-user tcp serial both none' -d 'how the machine is reached: auto takes the first that works of vsock, vhost-user (vhost-device-vsock), tcp and serial'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o accel -x -a 'auto kvm tcg' -d 'auto takes KVM where it works, else emulates the processor'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o nested -d 'KVM and vhost-vsock in the guest, for guests of its own'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o boot-timeout -x -d 'limit of the boot'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o gdb -d 'a debugger\'s way into the guest, a socket in the machine\'s directory'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o debug -d 'QEMU\'s monitor: cpu-vm console -monitor NAME'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o qemu-arg -x -d 'one more argument of QEMU'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o keep -d 'leave the machine as it is in the end, whatever happens, until cpu-vm stop'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o dry-run -d 'show the command lines, and start nothing'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o namespace -x -d 'what of yours is bound over the guest, as in cpu(1)'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o fstab -r -F -d 'fstab(5) lines to mount there, instead of those in $CPU_FSTAB'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o timeout -x -d 'limit of the command'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run; and string match -q -- "-*" (commandline -ct)' -a '-fail-on-oops=false' -d 'with =false, an oops or BUG of the guest\'s kernel does not fail a command that succeeds'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o fail-on-warning -d 'a warning of the guest\'s kernel fails it, too'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o snapshot -x -a 'auto never' -d 'auto keeps the machine as it is when it has booted, and starts the next of its kind as a copy of that'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o result -r -F -d 'write there, as JSON, how the run ended, what the kernel logged meanwhile, and how to repeat it'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 run' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -ge 0 run' -a '(__cpu_vm_list_command 0)'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o only -x -d 'these tests alone: KERNEL/CONFIGURATION/TEST, or any one of the three, with * and ?'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o fail-fast -d 'end all when the first test has failed'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o timeout -x -d 'limit of the whole matrix'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o jobs -x -d 'machines at a time'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o memory-budget -x -d 'memory for all machines at a time'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o junit -r -F -d 'write the results there, as JUnit\'s XML'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o json -r -F -d 'write them there, as JSON'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o output -x -a '(__fish_complete_directories)' -d 'keep there each machine\'s console, and what each test says'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o list -d 'show the tests, and run none'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o dry-run -d 'show the command lines, and start nothing'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 test' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -ge 0 test' -F
complete -c cpu-vm -n '__cpu_vm_at -eq 0 config' -o json -d 'as JSON'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 config' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 config' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 exec' -o namespace -x -d 'what of yours is bound over the guest, as in cpu(1)'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 exec' -o fstab -r -F -d 'fstab(5) lines to mount there, instead of those in $CPU_FSTAB'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 exec' -o timeout -x -d 'limit of the command'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 exec' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 exec' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 exec' -a '(__cpu_vm_list_machine)'
complete -c cpu-vm -n '__cpu_vm_at -ge 1 exec' -a '(__cpu_vm_list_command 1)'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 console' -o monitor -d 'QEMU\'s monitor instead, of a machine that was started with -debug'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 console' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 console' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -ge 0 console' -a '(__cpu_vm_list_machine)'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 log' -o f -d 'go on until the machine ends'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 log' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 log' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -ge 0 log' -a '(__cpu_vm_list_machine)'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 wait' -o ended -d 'until it has ended, rather than until it is ready'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 wait' -o timeout -x -d 'for no longer'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 wait' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 wait' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -ge 0 wait' -a '(__cpu_vm_list_machine)'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 stop' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 stop' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -ge 0 stop' -a '(__cpu_vm_list_machine)'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 list' -o json -d 'as JSON'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 list' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 list' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 kernel' -o fetch -x -d 'download a Debian kernel into the cache, unless it is there: the newest amd64, cloud-amd64, arm64, backports/amd64, backports/cloud-amd64 or backports/arm64, or a package, linux-image-RELEASE or linux-image-RELEASE=VERSION'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 kernel' -o json -d 'as JSON'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 kernel' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 kernel' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -ge 0 kernel' -F
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o arch -x -a 'x86_64 aarch64' -d 'the guest\'s processor'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o kernel -r -F -d 'bzImage, arm64 Image or vmlinux to boot, the directory where one was built, or a release that cpu-vm kernel shows'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o modules -x -a '(__fish_complete_directories)' -d 'the kernel\'s lib/modules/RELEASE'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o module -x -d 'one more kernel module for the guest, such as ext4, with what it depends on'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o list -d 'show the files in it'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o o -r -F -d 'write an initramfs there that needs no launcher: docs/pid1.md'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o keys -r -F -d 'with -o: who may log in, as in sshd(8)'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o hk -r -F -d 'with -o: the private host key, which is made if it is missing'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o hostname -x -d 'with -o: the machine\'s name'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o json -d 'as JSON'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 image' -o help -d 'show this'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 doctor' -o json -d 'as JSON'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 doctor' -o v -d 'say what is chosen, and the time of every stage'
complete -c cpu-vm -n '__cpu_vm_at -eq 0 doctor' -o help -d 'show this'
