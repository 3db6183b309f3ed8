#!/usr/bin/env node
// cpu-vm: the launcher's command line is its own room, qemu/cli.ts.
import { main } from '../../qemu/cli.js'
import { EXIT_HARNESS } from '../cli/exit-codes.js'
import { runMain } from '../cli/main.js'

void runMain('cpu-vm', main, EXIT_HARNESS)
