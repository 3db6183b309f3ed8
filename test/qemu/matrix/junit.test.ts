import t from 'tap'
import { escapeXml, junitReport } from '../../../qemu/matrix/junit.js'
import { AWKWARD, machineResult, testResult } from './results.js'

t.test('a suite for each machine', async t => {
  const failed = testResult('fails', {
    status: 'failed',
    reason: 'exit code 3',
    outcome: { kind: 'exit', exitCode: 3 },
    stdout: { text: 'a < b\n', isCut: false },
  })
  const never = testResult('never', { status: 'not-run', reason: 'not run: gone', outcome: undefined })
  const machine = machineResult([testResult('boots'), failed, never])
  t.equal(
    junitReport('matrix.toml', [machine], 7000),
    `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="matrix.toml" tests="3" failures="1" errors="1" time="7.000">
<testsuite name="6.1" tests="3" failures="1" errors="1" skipped="0" timestamp="2026-11-21T12:00:00" time="5.000">
<properties>
<property name="kernel" value="/boot/vmlinuz"/>
<property name="release" value="6.1.0"/>
<property name="accelerator" value="tcg"/>
</properties>
<testcase name="boots" classname="6_1" time="1.234"/>
<testcase name="fails" classname="6_1" time="1.234">
<failure type="exit" message="exit code 3">exit code 3
again: cpu-vm run -- true</failure>
<system-out>a &lt; b</system-out>
</testcase>
<testcase name="never" classname="6_1" time="1.234">
<error type="not-run" message="not run: gone">not run: gone
again: cpu-vm run -- true</error>
</testcase>
</testsuite>
</testsuites>
`,
  )
})

t.test('only characters that XML has', async t => {
  const text = junitReport('x', [machineResult(AWKWARD)], 1)
  // XML 1.0, 2.2: Char
  t.match(text, /^[\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u)
  t.notMatch(text, ']]>', 'it may not stand in a text')
  t.match(text, '<testsuites name="x" tests="5" failures="2" errors="2"')
  t.equal(text.match(/<failure /g)?.length, 2)
  t.equal(text.match(/<error /g)?.length, 2)
  t.match(text, 'message="exit code 3,&#10;not 0 &quot;&lt;&amp;&gt;&#9;red \ufffd\ufffd"')
})

t.test('escapes', async t => {
  t.equal(escapeXml('a&b<c>"d"\n\te'), 'a&amp;b&lt;c&gt;&quot;d&quot;\n\te')
  t.equal(escapeXml('\x00\x08\x0b\ufffe\udc00'), '\ufffd'.repeat(5))
  t.equal(escapeXml('\u{1f600}'), '\u{1f600}')
})
