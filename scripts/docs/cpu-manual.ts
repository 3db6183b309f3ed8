// The manual of cpu(1), besides its flags.

import { CPU_FLAGS, CPU_HELP } from '../../src/cli/cpu-flags.js'
import { EXIT_CONNECTION, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_USAGE } from '../../src/cli/exit-codes.js'
import { ESCAPES } from '../../src/client/escapes.js'
import { FORWARDED_SIGNALS } from '../../src/client/session.js'
import { MOUNT_ROOT } from '../../src/namespace/plan.js'
import { DEFAULT_KEYS } from '../../src/ssh/default-keys.js'
import { FSTAB_VARIABLE } from '../../src/ssh/exec-request.js'
import { DEFAULT_PORT } from '../../src/transport/address.js'
import type { Manual } from './manual.js'
import { ADDON_VARIABLE, DEBUG_VARIABLE, RUNTIME_VARIABLE } from './variables.js'

const more: Partial<Record<keyof typeof CPU_FLAGS, string>> = {
  net: '`vsock` reaches a virtual machine by its context ID, `unix` a socket by its path, `unix-vsock` the socket behind which Firecracker and Cloud Hypervisor have the vsock device of a machine. Without it the host says which.',
  key: 'A `.pub` file names a key that only ssh-agent has.',
  namespace:
    'Each directory is bound there at the same path, or `LOCAL` of yours at `REMOTE`. What of the default does not exist here is left out. The current directory is bound as well, unless these cover it, or there are none.',
  fstab: `Binds can name your files as they are below \`${MOUNT_ROOT}\`.`,
  root: 'It takes the place of /: with `-root /srv/board`, /srv/board/usr is bound on /usr there, and nothing outside can be reached. Paths of -namespace are within it.',
  direct:
    'Encryption between two ends on one machine would buy nothing. Whoever connects that way must bring a random number that only cpud was told.',
  srv: 'By 9P2000.L, to all who can connect, until cpu gets SIGINT or SIGTERM.',
  tty: 'auto: where stdin is a terminal, and stdout is one too or no command is given.',
  timeout: 'It stands still while you are asked for a passphrase, or whether to trust a host.',
  'dry-run': 'It prints the mounts in order, then the command.',
}

export const CPU_MANUAL: Manual = {
  name: 'cpu',
  section: 1,
  purpose: 'run a command on another machine, with your files and environment',
  commands: [{ words: 'cpu', flags: CPU_FLAGS, help: CPU_HELP }],
  description: [
    'cpu runs a command on another machine as if it ran here. The command sees your files, starts in your current directory with your environment, uses your terminal, and its exit code becomes the exit code of cpu. The other machine needs cpud(8) and nothing else: no package, no copy of your files.',
    `While the command runs, cpu serves the files of this machine, with your rights, and cpud mounts them on \`${MOUNT_ROOT}\` for this command alone. From there the directories of -namespace are bound over those of the other machine. So the programs that run are yours, from your /usr, and read your /etc and /home; the kernel, the devices, the processes and the network are the other machine's. When the command ends, or cpu does, every process of the session is ended and every mount is gone.`,
    'Without a command your shell (`$SHELL`) is started there. The words of the command are passed on as they are: no shell there takes them apart. For pipes and redirections, run `sh -c`.',
  ],
  operands: {
    title: 'HOSTS',
    blocks: [
      'A host is written in one of these ways, each with `user@` in front where need be:',
      {
        items: [
          [
            'HOST',
            `a name or an address, reached by TCP on port ${DEFAULT_PORT}; a \`Host\` of ssh_config(5), which may say otherwise; or a virtual machine that cpu-vm(1) started, by its name`,
          ],
          [
            'vsock/CID',
            'a virtual machine of this host by its context ID, also `vsock/CID:PORT`; the host of a guest is 2',
          ],
          ['unix/PATH', 'a unix socket'],
        ],
      },
      'Keys, jump hosts, known hosts and more are looked up in ssh_config(5) as ssh(1) does.',
    ],
  },
  more,
  behaviour: [
    {
      title: 'ON THE OTHER MACHINE',
      blocks: [
        'The command finds:',
        {
          items: [
            [MOUNT_ROOT, 'all your files, or those below -root. With `-namespace none` they are here only'],
            ['/tmp/local', "the other machine's own files, also those that yours cover"],
            [
              '/tmp',
              'a file system in memory, empty for each session. Its `root` and `merge` are empty directories for mounts of your fstab',
            ],
          ],
        },
        `The command starts in the directory in which it was typed. / and /tmp cannot be covered: from these it starts in ${MOUNT_ROOT} and ${MOUNT_ROOT}/tmp.`,
        `Lines of -fstab or \`$${FSTAB_VARIABLE}\` are mounted last, in order. A mount point that is missing is made, as a directory. A mount that fails is told, and the session goes on.`,
        'What you change here is seen there, and the reverse. By FUSE the kernel there keeps what it has read and is told of each change; -cache says how much it may keep.',
        'With `-files none` and no fstab nothing is mounted, and the session is as one of ssh(1).',
      ],
    },
    {
      title: 'ON THE TERMINAL',
      blocks: [
        'Where the command gets a terminal and yours is used, `~` at the start of a line is an escape. `EscapeChar` of ssh_config(5) names another, or none.',
        { items: [...ESCAPES.map(({ key, does }) => [`~${key}`, does] as const), ['~~', 'a ~']] },
        'Who suspends cpu for longer than a minute will find the session gone. Passphrases and unknown hosts are asked for on /dev/tty, and not at all where there is none.',
      ],
    },
    {
      title: 'SIGNALS',
      blocks: [
        `${FORWARDED_SIGNALS.join(', ')} are passed on to the command. A second SIGINT ends cpu at once, and with it the session. Windows that change their size tell the terminal there.`,
      ],
    },
  ],
  exitStatus: [
    [`${EXIT_USAGE}`, 'wrong usage: flags, operands, or a file that they name'],
    [`${EXIT_NOT_EXECUTABLE}`, 'the command is there and cannot be executed'],
    [`${EXIT_NOT_FOUND}`, 'the command does not exist'],
    [
      '128+n',
      'signal n ended the command; 130 also when cpu got SIGINT twice, 141 when nobody reads its output any more',
    ],
    [
      `${EXIT_CONNECTION}`,
      'no connection, no login, no files, a namespace that cannot be set up, or a connection that broke',
    ],
    ['any other', "the command's own, exactly"],
  ],
  environment: [
    [
      FSTAB_VARIABLE,
      'lines of fstab(5) to mount there besides the binds of -namespace. With -fstab it is not looked at',
    ],
    [
      'SSH_AUTH_SOCK',
      'the socket of ssh-agent(1), unless `IdentityAgent` of ssh_config(5) names one. Its keys are offered first',
    ],
    ['HOME', 'where `.ssh` is, and what `~/` stands for'],
    [
      'SHELL',
      'what is started there when no command is given; here, what runs `ProxyCommand` and `Match exec` of ssh_config(5). Else /bin/sh',
    ],
    ['TERM', 'the type of the terminal there; else dumb'],
    ['PATH', 'where the command is looked for, there'],
    ['PWD', 'is set to the current directory, whatever it was'],
    ['USER', 'who logs in, where passwd(5) does not know you; `HOME` and `SHELL` likewise'],
    RUNTIME_VARIABLE,
    DEBUG_VARIABLE,
    ADDON_VARIABLE,
    [
      'all others',
      'are given to the command as they are. `SetEnv` of ssh_config(5) adds to them, or replaces them',
    ],
  ],
  files: [
    [
      '$XDG_RUNTIME_DIR/cpu-harness/*/ssh_config, /tmp/cpu-harness-UID/*/ssh_config',
      'how to reach the virtual machines that cpu-vm(1) has started; they are read first. The second where `XDG_RUNTIME_DIR` is not set',
    ],
    ['~/.ssh/config, /etc/ssh/ssh_config', 'ssh_config(5). The first value wins; flags win over all'],
    [
      DEFAULT_KEYS.map(name => `~/.ssh/${name}`).join(', '),
      'private keys, tried in this order, unless -key or `IdentityFile` name others',
    ],
    [
      '~/.ssh/known_hosts, ~/.ssh/known_hosts2',
      'keys of hosts; a host that you trust when asked is added to the first. `UserKnownHostsFile` names others',
    ],
    [
      '/etc/ssh/ssh_known_hosts, /etc/ssh/ssh_known_hosts2',
      'keys of hosts, for all users of this machine. `GlobalKnownHostsFile` names others',
    ],
  ],
  examples: [
    {
      command: 'cpu -files none board uname -a',
      does: 'the other machine as it is, with none of your files',
    },
    {
      command: 'cpu -namespace none board ls /tmp/cpu',
      does: 'your files, but at no other place than /tmp/cpu',
    },
    { command: 'cpu -dry-run board make', does: 'what would be mounted there' },
  ],
  closing: [
    {
      title: 'NOTES',
      blocks: [
        'The command has your files with your rights for as long as it runs. Treat a machine that you do not trust as you would a program that you do not trust: -root, -ro and `-files none` give it less.',
        'The host key of every machine is checked. Unknown ones are asked for on a terminal, and refused where there is none.',
      ],
    },
    {
      title: 'BUGS',
      blocks: [
        'There is no agent forwarding, and there are no certificates. No sessions are possible with a stock sshd(8) on the other side.',
        'By FUSE, unless -cache is strict, locks hold within the other machine only, and what a local program changes through a shared mapping is seen there when it closes the file.',
      ],
    },
  ],
  seeAlso: ['cpud(8)', 'cpu-vm(1)', 'ssh(1)', 'ssh_config(5)', 'fstab(5)', 'mount_namespaces(7)', 'vsock(7)'],
}
