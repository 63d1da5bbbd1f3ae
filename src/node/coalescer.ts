/**
 * Coalescing: while work on a key is under way, any number of further wishes make one more turn after
 * it, which sees everything that was true when they were made.
 */
interface Turns {
  current: Promise<void>;
  next: Promise<void> | undefined;
}

export class Coalescer<Key> {
  readonly #work: (key: Key) => Promise<void>;
  readonly #turns = new Map<Key, Turns>();

  constructor(work: (key: Key) => Promise<void>) {
    this.#work = work;
  }

  /** Resolves (or rejects) with a turn that started after this call. */
  run(key: Key): Promise<void> {
    const turns = this.#turns.get(key);
    if (turns === undefined) return this.#start(key);
    turns.next ??= turns.current.then(
      () => this.#start(key),
      () => this.#start(key),
    );
    return turns.next;
  }

  #start(key: Key): Promise<void> {
    const current = this.#work(key).finally(() => {
      const turns = this.#turns.get(key);
      if (turns?.current === current && turns.next === undefined) this.#turns.delete(key);
    });
    this.#turns.set(key, { current, next: undefined });
    return current;
  }
}
