// Environment variables that more than one command obeys.

import type { Items } from './manual.js'

type Item = Items[number]

export const RUNTIME_VARIABLE: Item = [
  'XDG_RUNTIME_DIR',
  'its `cpu-harness` has what is known of the virtual machines that run here; else /tmp/cpu-harness-UID has it. Either must be a directory of yours with mode 0700',
]

export const DEBUG_VARIABLE: Item = ['CPU_HARNESS_DEBUG', '1 adds a stack trace to an error']

export const ADDON_VARIABLE: Item = [
  'CPU_HARNESS_ADDON',
  'a file with the native addon, which is then looked for nowhere else',
]
