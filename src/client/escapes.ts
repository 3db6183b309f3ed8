// Escapes on a terminal: ssh(1), "ESCAPE CHARACTERS". At the start of a line, `~` and a letter are for us, not for the
// program there.
import { Transform, type TransformCallback } from 'node:stream'

export interface EscapeActions {
  leave(): void
  suspend(): void
  help(text: string): void
}

/** What may follow the escape character, itself besides, and what it does. */
export const ESCAPES = [
  { key: '.', does: 'leave; the program there is killed' },
  { key: '^Z', does: 'suspend cpu' },
  { key: '?', does: 'show these escapes' },
] as const

const CARRIAGE_RETURN = 0x0d
const LINE_FEED = 0x0a
const DOT = 0x2e
const QUESTION_MARK = 0x3f
const CTRL_Z = 0x1a

/** Passes on what is typed, but for escapes, which it obeys. */
export class EscapeFilter extends Transform {
  readonly #character: string
  readonly #actions: EscapeActions
  #isLineStart = true
  #isPending = false

  constructor(character: string, actions: EscapeActions) {
    super()
    this.#character = character
    this.#actions = actions
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const start = this.#character.charCodeAt(0)
    const passed: number[] = []
    for (const byte of chunk) {
      if (this.#isPending) {
        this.#isPending = false
        if (this.#obey(byte)) continue
        if (byte !== start) passed.push(start)
      } else if (this.#isLineStart && byte === start) {
        this.#isPending = true
        continue
      }
      passed.push(byte)
      this.#isLineStart = byte === CARRIAGE_RETURN || byte === LINE_FEED
    }
    done(null, passed.length === 0 ? undefined : Buffer.from(passed))
  }

  #obey(byte: number): boolean {
    switch (byte) {
      case DOT:
        this.#actions.leave()
        return true
      case CTRL_Z:
        this.#actions.suspend()
        return true
      case QUESTION_MARK:
        this.#actions.help(this.#helpText())
        return true
      default:
        return false
    }
  }

  #helpText(): string {
    const shown = visible(this.#character)
    const lines = [...ESCAPES, { key: shown, does: `${shown} itself` }]
    return [
      `${shown}?`,
      'Escapes, at the start of a line:',
      ...lines.map(({ key, does }) => ` ${(shown + key).padEnd(4)} ${does}`),
      '',
    ].join('\r\n')
  }
}

/** `^]` for a control character. */
function visible(character: string): string {
  const code = character.charCodeAt(0)
  return code < 0x20 ? `^${String.fromCharCode(code + 0x40)}` : character
}
