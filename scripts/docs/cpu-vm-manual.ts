// The manual of cpu-vm(1), besides its flags.

import { boot, commandLine, serialConsole } from '../../qemu/devices.js'
import { HELP } from '../../qemu/help.js'
import { QEMU } from '../../qemu/probe.js'
import { VIRTIOFSD_PROGRAMS } from '../../qemu/virtiofsd.js'
import { EXIT_HARNESS, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_USAGE } from '../../src/cli/exit-codes.js'
import { FSTAB_VARIABLE } from '../../src/ssh/exec-request.js'
import type { Command, Manual } from './manual.js'
import { ADDON_VARIABLE, DEBUG_VARIABLE, RUNTIME_VARIABLE } from './variables.js'

const commands: readonly Command[] = Object.entries(HELP).map(([name, { table, text }]) => ({
  words: `cpu-vm ${name}`,
  flags: table,
  help: text,
}))

/** What a guest's kernel is started with, for `-append TEXT`. */
export const KERNEL_COMMAND_LINE =
  commandLine([serialConsole({ log: '', socket: '' }), boot({ image: '', initrd: '', append: 'TEXT' })]).at(
    -1,
  ) ?? ''

export const CPU_VM_MANUAL: Manual = {
  name: 'cpu-vm',
  section: 1,
  purpose: 'virtual machines for cpu',
  commands,
  description: [
    'cpu-vm boots virtual machines in which cpu(1) runs commands. A machine has a kernel, which you may name, and a file system in memory with cpud(8) and nothing else: all programs come from here, through cpu, or with -root as its own. It is there in seconds, and nothing of it is left afterwards.',
    'KVM, vsock and virtiofsd are tried before they are used. Where one does not work, the next best is taken instead (the processor is emulated, vhost-device-vsock or TCP on 127.0.0.1 stands for vsock), and this is said in one line. `cpu-vm doctor` shows what works here, and what to do.',
  ],
  more: {
    name: 'Letters, digits, `.`, `_` and `-`, at most 63; `cpu NAME` reaches it, and so does `cpu -net vsock CID`.',
    kernel:
      "Of those in the cache, one with 9P comes before one without, Debian's own before a backport, then the newest. Where a kernel was built is a directory with arch/x86/boot/bzImage, arch/arm64/boot/Image or vmlinux; its modules are taken from there too. A release is that of a kernel in the cache or in /boot. A guest that is to see your files needs CONFIG_FUSE_FS, or CONFIG_9P_FS and CONFIG_NET_9P_FD.",
    arch: 'Of another architecture than this machine, a guest is emulated, and has programs of its own: see below.',
    machine:
      'A microvm has no firmware menus and fewer devices. It is taken only where KVM was proved to work: emulated, it hangs in one boot of four.',
    modules:
      'After `make modules_install INSTALL_MOD_PATH=DIR`, DIR will do. A kernel of which everything is built in needs none.',
    module:
      'By its name, as modprobe(8) takes it; with `run` and `start` it is loaded as well. What it asks for when it runs (`modinfo -F softdep`) comes along; aliases are not followed.',
    append: `It stands for TEXT in: \`${KERNEL_COMMAND_LINE}\`.`,
    share: `A line such as \`TAG /mnt virtiofs\` in \`$${FSTAB_VARIABLE}\` or -fstab mounts it. \`:ro\` makes it read-only.`,
    root: 'What the guest writes there is kept in its memory, and gone with it; /proc, /sys, /dev and /run are its own. Commands find programs, files and the current directory there, and so none of your files are served to them, unless -namespace says which: what is bound, and the current directory with it, is then the real one, and can be written to. With cpu(1), say `-files none`. By 9P QEMU serves it itself, which needs no root; by virtiofs a virtiofsd does. Either reads whatever you may read: a guest with your root has no secrets to keep from it.',
    net: '`vsock` is that of the kernel here (/dev/vhost-vsock). `vhost-user` needs vhost-device-vsock in $PATH. `tcp` is a port on 127.0.0.1, and gives the guest a network. `serial` needs nothing of either kernel but virtio-serial, and bears eight commands at a time.',
    nested: 'The kernel must have KVM.',
    fetch:
      "By apt-get(8), from the mirrors of this machine; a package also from Debian's backports. Nothing is installed, and root is not needed.",
    o: "It holds a private key, the host's, so its mode is 0600. Modules are loaded only as the kernel's command line says, such as `modules_load=virtio_pci,virtio_net,fuse ip=dhcp`. docs/pid1.md has all of it.",
    hk: 'Its public half is put beside it, as FILE.pub, for -hk of cpu(1).',
  },
  behaviour: [
    {
      title: 'MACHINES',
      blocks: [
        'Each machine has a directory below `$XDG_RUNTIME_DIR/cpu-harness` with its keys, its console and an ssh_config(5) in which cpu(1) finds it by name. The host key of the guest is made before it boots, so it is known from the start.',
        'What `run` starts is killed when cpu-vm ends, however it does. What `start` starts goes on until `stop`, or until the guest switches itself off.',
      ],
    },
    {
      title: 'OTHER ARCHITECTURES',
      blocks: [
        "`cpu-vm run -arch aarch64 -- uname -m` boots a guest of another architecture than this machine's, emulated. Its kernel is Debian's (`cpu-vm kernel -fetch arm64`) or yours. What it needs besides is fetched and built once, and kept in the cache: Node of the same version from npm's registry, its libraries and busybox from Debian's packages, and the addon, by the compiler of the package g++-aarch64-linux-gnu.",
        "This machine's programs do not run there, so only /home and the current directory are bound by default, and the programs are those of busybox. With an unpacked root of that architecture they are yours: `-namespace /bin=ROOT/bin:/lib=ROOT/lib:/usr=ROOT/usr`; `+` adds to /home.",
        'For a machine of yours that no launcher starts, `SetEnv CPU_NAMESPACE=/home` in ssh_config(5) is the same default.',
      ],
    },
    {
      title: 'KERNELS',
      blocks: [
        '`cpu-vm kernel` lists each kernel with what it lacks: `fuse` and `9p` (one of them is needed for your files), `virtiofs` (for -share and -root), `vsock` (else TCP is used), `virtio-net` (for TCP), `virtio-serial` (for -net serial), `kvm` (for -nested). A module that is configured and whose file is nowhere is lacking, too. This is read from the config beside the kernel, where it was built, or within it (CONFIG_IKCONFIG), else from its modules; `unknown` is where there is none of these.',
      ],
    },
    {
      title: 'SIGNALS',
      blocks: [
        'SIGINT, SIGTERM and SIGHUP end cpu-vm in an orderly way: a machine that is being started, or was started by `run`, is gone afterwards.',
      ],
    },
  ],
  exitStatus: [
    [`${EXIT_USAGE}`, 'wrong usage: flags, operands, or a file that they name'],
    [
      `${EXIT_HARNESS}`,
      'cpu-vm failed, and not the command that it was to run; of `doctor`: no machine can be started here',
    ],
    [`${EXIT_NOT_EXECUTABLE}, ${EXIT_NOT_FOUND}`, 'of `run`, as of cpu(1)'],
    ['128+n', 'signal n ended the command of `run`, or interrupted cpu-vm'],
    ['any other', 'of `run`: that of the command, exactly'],
  ],
  environment: [
    RUNTIME_VARIABLE,
    ['XDG_CACHE_HOME', 'its `cpu-harness` is the cache of kernels and images; else ~/.cache/cpu-harness is'],
    ['HOME', 'where the cache is, unless `XDG_CACHE_HOME` says it'],
    ['PATH', `where ${QEMU}, apt-get, apt-cache, dpkg-deb, npm, strip and other tools are looked for`],
    ['TMPDIR', 'where short-lived files are; else /tmp'],
    DEBUG_VARIABLE,
    ADDON_VARIABLE,
    ['all others', `\`${FSTAB_VARIABLE}\` among them, are for the command of \`run\`: see cpu(1)`],
  ],
  files: [
    ['~/.cache/cpu-harness/kernels', 'kernels that were fetched, unpacked'],
    [
      '~/.cache/cpu-harness/vmlinux, images, probes, apt',
      'kernels without their decompressor, root file systems, what works here, lists of packages; all of these are made again',
    ],
    ['$XDG_RUNTIME_DIR/cpu-harness/NAME/console.log', 'the console of a machine'],
    [
      '$XDG_RUNTIME_DIR/cpu-harness/NAME/qemu.log',
      "QEMU's command line, and what it says; `virtiofsd-TAG.log` likewise",
    ],
    [
      '$XDG_RUNTIME_DIR/cpu-harness/NAME/ssh_config',
      'how to reach it; `id_ed25519` and `known_hosts` are beside it',
    ],
    ['/dev/kvm, /dev/vhost-vsock', 'must be open to you for KVM and vsock'],
    [
      VIRTIOFSD_PROGRAMS.map(({ path }) => path).join(', '),
      'virtiofsd, for -share and -root; the first that is there',
    ],
  ],
  examples: [
    { command: 'cpu-vm start -name v -share myfs=/srv/data', does: 'a machine that stays, with a share' },
    { command: 'CPU_FSTAB="myfs /mnt virtiofs" cpu v ls /mnt', does: 'the share, mounted for one command' },
    { command: 'cpu-vm stop v', does: 'its end' },
  ],
  closing: [],
  seeAlso: ['cpu(1)', 'cpud(8)', 'qemu-system-x86_64(1)', 'ssh_config(5)', 'vsock(7)'],
}
