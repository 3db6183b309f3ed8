// What the commands of cpu-vm do, in words: help and man page are made of it and of their flags.

import type { FlagTable } from '../src/cli/flags.js'
import type { HelpText } from '../src/cli/help.js'
import {
  CONFIG_FLAGS,
  CONSOLE_FLAGS,
  DOCTOR_FLAGS,
  EXEC_FLAGS,
  IMAGE_FLAGS,
  KERNEL_FLAGS,
  LIST_FLAGS,
  LOG_FLAGS,
  PLAIN_FLAGS,
  RUN_FLAGS,
  START_FLAGS,
  TEST_FLAGS,
  WAIT_FLAGS,
} from './flags.js'

export const HELP: Readonly<Record<string, { readonly table: FlagTable; readonly text: HelpText }>> = {
  start: {
    table: START_FLAGS,
    text: {
      usage: 'cpu-vm start [flags]',
      summary: 'Starts a virtual machine with cpud in it, and leaves it running.',
      examples: [
        { command: 'cpu-vm start -name v', does: 'then: cpu v uname -r' },
        { command: 'cpu-vm start -share src=.', does: 'the current directory by virtiofs' },
      ],
    },
  },
  run: {
    table: RUN_FLAGS,
    text: {
      usage: 'cpu-vm run [flags] [--] command [argument...]',
      summary: 'Runs a command in a virtual machine of its own, with your files under it.',
      examples: [
        { command: 'cpu-vm run -- make test', does: 'exits with the exit code of make' },
        { command: 'cpu-vm run -kernel bzImage uname -r', does: 'on a kernel of yours' },
        {
          command: 'cpu-vm run -root virtiofs -- ./t',
          does: 'in a copy of this machine, which changes nothing here',
        },
        { command: 'cpu-vm run -timeout 5m -result result.json -- ./test.sh', does: 'in CI' },
      ],
      footer:
        "Exit code: the command's own; 128+n when signal n ended it; 125 when the kernel panics, oopses, hangs or runs out of memory, the machine dies, or a time limit is over; 2 for wrong usage.",
    },
  },
  test: {
    table: TEST_FLAGS,
    text: {
      usage: 'cpu-vm test [flags] FILE',
      summary: 'Runs a matrix of kernels, configurations and commands (docs/ci.md), with its results as TAP.',
      examples: [
        { command: 'cpu-vm test -junit results.xml matrix.toml', does: 'in CI' },
        { command: 'cpu-vm test -only 6.12 matrix.toml', does: 'one kernel' },
      ],
      footer:
        'Exit code: 0 when every test has passed; 1 when one has failed or was not run; 2 when the file or the flags are wrong; 125 when it is not the tests that failed.',
    },
  },
  config: {
    table: CONFIG_FLAGS,
    text: {
      usage: 'cpu-vm config [flags]',
      summary: 'Shows what the flags of run, start and exec are here without any, and where that is from.',
      examples: [],
    },
  },
  exec: {
    table: EXEC_FLAGS,
    text: {
      usage: 'cpu-vm exec [flags] NAME [--] [command [argument...]]',
      summary: 'Runs a command in a machine that was started, or a shell.',
      examples: [{ command: 'cpu-vm exec v -- uname -r', does: 'as cpu v uname -r' }],
    },
  },
  console: {
    table: CONSOLE_FLAGS,
    text: {
      usage: 'cpu-vm console [flags] NAME',
      summary:
        "Shows a machine's serial console from its beginning, follows it, and types there what is typed here. Ctrl-] leaves, and ~. at the start of a line.",
      examples: [],
    },
  },
  log: {
    table: LOG_FLAGS,
    text: {
      usage: 'cpu-vm log [flags] NAME',
      summary: "Shows what a machine's console has said.",
      examples: [],
    },
  },
  wait: {
    table: WAIT_FLAGS,
    text: {
      usage: 'cpu-vm wait [flags] NAME',
      summary: 'Waits until a machine is ready, or has ended.',
      examples: [
        { command: 'cpu-vm wait -ended -timeout 10m v', does: 'exits with 125 when that takes longer' },
      ],
    },
  },
  stop: {
    table: PLAIN_FLAGS,
    text: { usage: 'cpu-vm stop NAME...', summary: 'Stops machines and removes their files.', examples: [] },
  },
  list: {
    table: LIST_FLAGS,
    text: { usage: 'cpu-vm list [flags]', summary: 'Shows the machines that run.', examples: [] },
  },
  kernel: {
    table: KERNEL_FLAGS,
    text: {
      usage: 'cpu-vm kernel [flags] [FILE...]',
      summary:
        'Shows which kernels can be booted here, and what each lacks: those in the cache, in /boot, and where one was built; or those that are named. Or fetches one.',
      examples: [
        { command: 'cpu-vm kernel ~/src/linux', does: 'the kernel that was built there' },
        { command: 'cpu-vm kernel -fetch amd64', does: "the newest of Debian's" },
        { command: 'cpu-vm kernel -fetch linux-image-6.1.0-56-amd64', does: 'that one' },
      ],
    },
  },
  image: {
    table: IMAGE_FLAGS,
    text: {
      usage: 'cpu-vm image [flags]',
      summary:
        "Builds a guest's file system for a kernel, unless it is in the cache, and shows where it is and what its parts weigh; or writes one for a machine of your own.",
      examples: [
        { command: 'cpu-vm image -list', does: 'the files in it' },
        { command: 'cpu-vm image -o board.cpio -hostname board', does: 'to be booted without cpu-vm' },
      ],
    },
  },
  doctor: {
    table: DOCTOR_FLAGS,
    text: {
      usage: 'cpu-vm doctor [flags]',
      summary: 'Shows what works on this machine, and what to do.',
      examples: [],
    },
  },
}
