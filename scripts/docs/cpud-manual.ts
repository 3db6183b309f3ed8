// The manual of cpud(8), besides its flags.

import { CPUD_FLAGS, CPUD_HELP } from '../../src/cli/cpud-flags.js'
import { EXIT_USAGE } from '../../src/cli/exit-codes.js'
import { GUEST_CONFIG_PATH } from '../../src/cpud/guest-config.js'
import { KERNEL_LOG } from '../../src/cpud/init-log.js'
import { DEFAULT_PATH } from '../../src/cpud/session.js'
import { MOUNT_ROOT } from '../../src/namespace/plan.js'
import { FUSE_DEVICE } from '../../src/native/fuse.js'
import type { Items, Manual } from './manual.js'
import { ADDON_VARIABLE, DEBUG_VARIABLE } from './variables.js'

const more: Partial<Record<keyof typeof CPUD_FLAGS, string>> = {
  net: 'All of them listen on one port. `unix-vsock` is for the unix socket of a virtual machine monitor: whoever connects must say `CONNECT` and the port first.',
  addr: 'With several -net it is taken for each, so it fits only networks whose addresses are alike.',
  pk: 'Options in front of a key say what it may do.',
  hk: 'An ed25519 key is made, with its public half in a `.pub` file beside it. A key of yours that others may read is refused.',
  'insecure-no-auth': 'Whoever can connect can then run anything as the user that cpud runs as.',
  'max-startups':
    'One more, and the one is closed that is least far, of the peer that has most of these: so nobody can keep others out.',
  register: 'Launchers that cannot see into a network wait for this.',
  klog: 'dmesg(1) shows it.',
  init: `It does as \`${GUEST_CONFIG_PATH}\` says.`,
}

/** Also a table of docs/config.md. */
export const KEY_OPTIONS: Items = [
  [
    'from="LIST"',
    'addresses from which the key is taken: `192.0.2.0/24`, `2001:db8::1`, `vsock/2`, `unix`, with `*` and `?`, separated by commas; `!` in front excludes. Names of hosts match nothing',
  ],
  ['expiry-time="YYYYMMDD[HHMM[SS]][Z]"', 'from then on the key is not taken; local time, or UTC with Z'],
  [
    'command="COMMAND"',
    '/bin/sh runs this instead of what is asked for, which is in `SSH_ORIGINAL_COMMAND`. The client can bring no files, no fstab and no variables but `TERM`, `LANG` and `LC_*`: it must use `-files none`',
  ],
  ['environment="NAME=VALUE"', "a variable for the command, over the client's; may be repeated"],
  ['no-pty', 'no terminal'],
  ['no-port-forwarding', "no way back to the client's files: it must use `-files none`"],
  ['restrict', 'both of these; `pty` and `port-forwarding` behind it allow one again'],
]

/** Also a table of docs/config.md. */
export const GUEST_CONFIGURATION: Items = [
  [
    'listen',
    'where to listen: a list of `{"net": "tcp", "port": 17010}`, or `vsock`; or `{"net": "serial", "name": "org.cpu-harness"}` for virtio-serial ports whose names begin so',
  ],
  ['modules', 'modules of the kernel to load, in this order: absolute paths'],
  [
    'network',
    'optional: `address`, `prefix` and, if any, `gateway` and `nameserver` (IPv4) of the first Ethernet interface',
  ],
  [
    'control',
    'a serial line, such as /dev/ttyS1, on which the launcher says who the machine is (its name, its host key, who may log in) and is told when all is ready',
  ],
]

export const CPUD_MANUAL: Manual = {
  name: 'cpud',
  section: 8,
  purpose: 'run commands here with the files of whoever sends them',
  commands: [{ words: 'cpud', flags: CPUD_FLAGS, help: CPUD_HELP }],
  description: [
    `cpud is what cpu(1) talks to: an SSH server that, for each command, makes a private mount namespace, mounts the files of the client on \`${MOUNT_ROOT}\` (by FUSE, or by 9P where the client asks for that or this kernel has no FUSE), carries out the binds and mounts that the client sends, and runs the command there. When the command ends, or the connection does, every process of the session is killed, and its mounts go with its namespace.`,
    'Commands run as the user that cpud runs as, whatever name the client logs in with. Sessions see each other: they share processes, network and user.',
    'No port is opened for the files: they come through the SSH connection, or, on one physical machine, through a vsock or unix socket that the client names.',
    'What happens is said on stderr, one line each.',
  ],
  more,
  behaviour: [
    {
      title: 'AUTHORIZED KEYS',
      blocks: [
        'The file of -pk is as sshd(8) has it, and is read again at each login. In front of a key may stand:',
        { items: KEY_OPTIONS },
        'Options about agents, X11, tunnels, `user-rc` and `permitopen` are accepted, since cpud has nothing of these. A line with any other option, or with a certificate, is not taken, and this is logged.',
      ],
    },
    {
      title: 'WITHOUT ROOT',
      blocks: [
        'Run by an ordinary user, cpud gives each session a user namespace. Where /etc/subuid and /etc/subgid give the user ids, and newuidmap(1) and newgidmap(1) are installed, he is himself there; else he looks like root there, and nobody else exists. Either way the files of the client are by FUSE, and what takes root is refused by name: 9P, other file systems but tmpfs, binds and (from Linux 5.11) overlay, devices, missing mount points, -init.',
        'The kernel must allow users to have user namespaces, and /dev/fuse must be open to them, as they are on most systems.',
      ],
    },
    {
      title: 'AS PROCESS 1',
      blocks: [
        `With -init cpud mounts /proc, /sys, /dev and the like, reads \`${GUEST_CONFIG_PATH}\`, loads modules, sets up the network, and serves; all other flags but -d are passed over. Guests of cpu-vm(1) start it so, with a configuration made for them. It is JSON, with these fields and no others:`,
        { items: GUEST_CONFIGURATION },
        'What fails is a warning in the log of the kernel; when it cannot serve at all, it switches the machine off.',
      ],
    },
    {
      title: 'SIGNALS',
      blocks: [
        'SIGTERM and SIGINT end cpud: commands get SIGHUP, and two seconds later what is left of them is killed. As process 1 these, and SIGPWR, switch the machine off.',
      ],
    },
  ],
  exitStatus: [
    ['0', 'SIGTERM or SIGINT ended it'],
    ['1', 'cpud cannot serve: no address to listen on, no host key'],
    [`${EXIT_USAGE}`, 'wrong usage, also when the file of -pk holds no key'],
  ],
  environment: [
    ['HOME', 'where the host key is, unless -hk names one'],
    ['PATH', 'where newuidmap(1) and newgidmap(1) are looked for'],
    DEBUG_VARIABLE,
    ADDON_VARIABLE,
    [
      'of a command',
      `is what the client sends, and nothing of cpud's own. Where it has no \`PATH\`, it gets ${DEFAULT_PATH}; \`PWD\` is where it starts`,
    ],
  ],
  files: [
    [
      '~/.ssh/cpud_host_ed25519',
      'private host key, made when it does not exist; its public half in a `.pub` file',
    ],
    ['/etc/subuid, /etc/subgid', 'ids for the user namespaces of an ordinary user: subuid(5)'],
    [FUSE_DEVICE, 'must be open to an ordinary user'],
    [GUEST_CONFIG_PATH, 'configuration of -init'],
    [KERNEL_LOG, 'where -klog and -init write'],
  ],
  examples: [
    {
      command: 'cpud -pk keys -net vsock -net tcp',
      does: 'for the host of this virtual machine, and for others by TCP',
    },
    { command: 'cpud -pk keys -net unix -addr /run/cpud.sock', does: 'for users of this machine' },
  ],
  closing: [
    {
      title: 'NOTES',
      blocks: [
        'Only public keys log in. Who may do so may do all that the user of cpud may, unless the options of the key say less.',
        'A client that has been silent for 45 s is taken for dead, and its session ended.',
      ],
    },
  ],
  seeAlso: ['cpu(1)', 'cpu-vm(1)', 'sshd(8)', 'subuid(5)', 'user_namespaces(7)', 'mount_namespaces(7)'],
}
