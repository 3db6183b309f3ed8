// Reads just enough of 64-bit little-endian ELF files: sections by name (a kernel module's .modinfo) and notes
// (whether a vmlinux can be entered by PVH). elf(5).

import { CpuError } from '../src/errors.js'

const PT_NOTE = 4 // <elf.h>
const ELFCLASS64 = 2
const ELFDATA2LSB = 1

export interface ElfNote {
  readonly owner: string
  readonly type: number
}

/** Whether the bytes start like an ELF file that the functions here can read. */
export function isElf64(data: Buffer): boolean {
  return (
    data.length > 64 &&
    data.readUInt32BE(0) === 0x7f454c46 &&
    data[4] === ELFCLASS64 &&
    data[5] === ELFDATA2LSB
  )
}

/** e_machine: for which processors it is. */
export function elfMachine(data: Buffer): number {
  requireElf(data)
  return data.readUInt16LE(0x12)
}

/** The section's bytes as a view, or undefined. Throws CpuError ERR_CPU_VM_ELF for what is no ELF file. */
export function elfSection(data: Buffer, name: string): Buffer | undefined {
  requireElf(data)
  const table = number(data, 0x28)
  const entrySize = data.readUInt16LE(0x3a)
  const count = data.readUInt16LE(0x3c)
  const namesHeader = table + data.readUInt16LE(0x3e) * entrySize
  const names = number(data, namesHeader + 0x18)
  for (let index = 0; index < count; index++) {
    const header = table + index * entrySize
    const start = names + data.readUInt32LE(header)
    if (data.toString('latin1', start, data.indexOf(0, start)) !== name) continue
    const offset = number(data, header + 0x18)
    return data.subarray(offset, offset + number(data, header + 0x20))
  }
  return undefined
}

/** The notes of all PT_NOTE segments. Throws as elfSection. */
export function elfNotes(data: Buffer): ElfNote[] {
  requireElf(data)
  const table = number(data, 0x20)
  const entrySize = data.readUInt16LE(0x36)
  const notes: ElfNote[] = []
  for (let index = 0; index < data.readUInt16LE(0x38); index++) {
    const header = table + index * entrySize
    if (data.readUInt32LE(header) !== PT_NOTE) continue
    const offset = number(data, header + 0x08)
    notes.push(...parseNotes(data.subarray(offset, offset + number(data, header + 0x20))))
  }
  return notes
}

/** Each: name size, content size, type; the name and the content, padded to 4. */
function parseNotes(segment: Buffer): ElfNote[] {
  const notes: ElfNote[] = []
  let position = 0
  while (position + 12 <= segment.length) {
    const nameSize = segment.readUInt32LE(position)
    const contentSize = segment.readUInt32LE(position + 4)
    const type = segment.readUInt32LE(position + 8)
    notes.push({
      owner: segment.toString('latin1', position + 12, position + 12 + Math.max(0, nameSize - 1)),
      type,
    })
    position += 12 + align4(nameSize) + align4(contentSize)
  }
  return notes
}

function align4(size: number): number {
  return (size + 3) & ~3
}

function number(data: Buffer, offset: number): number {
  return Number(data.readBigUInt64LE(offset))
}

function requireElf(data: Buffer): void {
  if (!isElf64(data)) throw new CpuError('ERR_CPU_VM_ELF', 'not a 64-bit little-endian ELF file')
}
