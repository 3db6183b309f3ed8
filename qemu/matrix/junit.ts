// JUnit's XML as CI servers read it (the schema of Jenkins' xUnit plug-in): a test suite for each machine, with a
// failure or an error for everything that has not passed.

import type { MachineResult, TestResult } from './matrix-result.js'
import { outputLines, plainText } from './output-lines.js'

export function junitReport(file: string, machines: readonly MachineResult[], durationMs: number): string {
  const attributes = {
    name: file,
    ...counts(machines.flatMap(({ tests }) => tests)),
    time: seconds(durationMs),
  }
  const suites = machines.map(suite)
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element('testsuites', attributes, suites)}\n`
}

function suite({ planned, startedAt, durationMs, machine, flakes, tests }: MachineResult): string {
  const attributes = {
    name: planned.id,
    ...counts(tests),
    skipped: 0,
    timestamp: startedAt.replace(/\.\d+Z$/, ''),
    time: seconds(durationMs),
  }
  const facts: [string, string][] = [
    ...(machine === undefined
      ? []
      : ([
          ['kernel', machine.kernel],
          ['release', machine.release],
          ['accelerator', machine.accelerator],
        ] as [string, string][])),
    ...flakes.map((flake): [string, string] => ['flake', flake]),
  ]
  const properties = facts.map(([name, value]) => element('property', { name, value }))
  return element('testsuite', attributes, [
    ...(properties.length === 0 ? [] : [element('properties', {}, properties)]),
    ...tests.map(test => testCase(planned.id, test)),
  ])
}

function testCase(machineId: string, result: TestResult): string {
  const { planned, status, stdout, stderr, durationMs } = result
  const attributes = {
    name: planned.test.name,
    classname: machineId.replaceAll('.', '_'),
    time: seconds(durationMs),
  }
  const output = [
    ['system-out', outputLines(stdout).join('\n')] as const,
    ['system-err', outputLines(stderr).join('\n')] as const,
  ].filter(([, text]) => text !== '')
  return element('testcase', attributes, [
    ...(status === 'passed' ? [] : [problem(result)]),
    ...output.map(([name, text]) => textElement(name, {}, text)),
  ])
}

function problem(result: TestResult): string {
  const { status, reason = '', outcome, kernelLog, console, repeat } = result
  const log = kernelLog.lines.length === 0 ? [] : ["the kernel's log:", ...kernelLog.lines]
  const tail = console.length === 0 ? [] : ['the console:', ...console]
  const again = repeat === undefined ? [] : [`again: ${repeat}`]
  const text = [reason, ...log, ...tail, ...again].join('\n')
  const attributes = { type: outcome?.kind ?? status, message: reason }
  return textElement(isError(result) ? 'error' : 'failure', attributes, text)
}

/** What the test itself is not to blame for. */
function isError({ status, outcome }: TestResult): boolean {
  return status === 'not-run' || outcome?.kind === 'harness-error'
}

function counts(tests: readonly TestResult[]) {
  const errors = tests.filter(isError).length
  const failures = tests.filter(test => test.status === 'failed' && !isError(test)).length
  return { tests: tests.length, failures, errors }
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3)
}

type Attributes = Readonly<Record<string, string | number>>

function element(name: string, attributes: Attributes, children: readonly string[] = []): string {
  const tag = `${name}${attributeList(attributes)}`
  return children.length === 0 ? `<${tag}/>` : `<${tag}>\n${children.join('\n')}\n</${name}>`
}

function textElement(name: string, attributes: Attributes, text: string): string {
  return `<${name}${attributeList(attributes)}>${escapeXml(text)}</${name}>`
}

/** Line feeds and tabs would become spaces. */
function attributeList(attributes: Attributes): string {
  const escaped = (value: string) => escapeXml(value).replaceAll('\n', '&#10;').replaceAll('\t', '&#9;')
  return Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${escaped(String(value))}"`)
    .join('')
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** XML 1.0, 2.2: other characters are in no document, not even as a reference. */
export function escapeXml(text: string): string {
  return plainText(text)
    .replace(/[&<>"]/g, character => ENTITIES[character]!)
    .replace(/[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
}
