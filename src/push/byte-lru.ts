/**
 * A cache bounded by the bytes of what it holds: the least recently used entries leave first.
 * An entry larger than the whole budget is not kept.
 */

export class ByteLru<Value> {
  readonly #bytesMax: number;
  readonly #entries = new Map<string, { readonly value: Value; readonly bytes: number }>();
  #bytes = 0;
  #newestKey: string | undefined;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (key !== this.#newestKey) {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      this.#newestKey = key;
    }
    return entry.value;
  }

  set(key: string, value: Value, bytes: number): void {
    const replaced = this.#entries.get(key);
    if (replaced !== undefined) {
      this.#entries.delete(key);
      this.#bytes -= replaced.bytes;
    }
    if (bytes > this.#bytesMax) return;
    this.#entries.set(key, { value, bytes });
    this.#newestKey = key;
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#entries.delete(oldest);
      this.#bytes -= entry.bytes;
    }
  }
}
