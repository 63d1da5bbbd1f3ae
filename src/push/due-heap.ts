/**
 * A binary heap of members that wait for a time, with removal from the middle.
 *
 * Keyed (dueMs, sequence), so that equal times leave in the order in which they came. Each member
 * carries its own index (-1: not in the heap).
 */

export interface Due {
  dueMs: number;
  sequence: number;
  heapIndex: number;
}

export class DueHeap<Member extends Due> {
  readonly #members: Member[] = [];
  #sequence = 0;

  get length(): number {
    return this.#members.length;
  }

  get first(): Member | undefined {
    return this.#members[0];
  }

  /** Adds `member`, or moves it where it is there already. */
  put(member: Member, dueMs: number): void {
    this.remove(member);
    member.dueMs = dueMs;
    member.sequence = this.#sequence++;
    member.heapIndex = this.#members.length;
    this.#members.push(member);
    this.#rise(member);
  }

  remove(member: Member): void {
    const index = member.heapIndex;
    if (index === -1) return;
    member.heapIndex = -1;
    const last = this.#members.pop();
    if (last === undefined || last === member) return;
    last.heapIndex = index;
    this.#members[index] = last;
    this.#rise(last);
    this.#sink(last);
  }

  #rise(member: Member): void {
    while (member.heapIndex > 0) {
      const parent = this.#members[(member.heapIndex - 1) >> 1];
      if (parent === undefined || isBefore(parent, member)) return;
      this.#swap(parent, member);
    }
  }

  #sink(member: Member): void {
    for (;;) {
      const left = this.#members[2 * member.heapIndex + 1];
      const right = this.#members[2 * member.heapIndex + 2];
      if (left === undefined) return;
      const child = right !== undefined && isBefore(right, left) ? right : left;
      if (isBefore(member, child)) return;
      this.#swap(member, child);
    }
  }

  #swap(upper: Member, lower: Member): void {
    const index = upper.heapIndex;
    upper.heapIndex = lower.heapIndex;
    lower.heapIndex = index;
    this.#members[upper.heapIndex] = upper;
    this.#members[lower.heapIndex] = lower;
  }
}

function isBefore(left: Due, right: Due): boolean {
  return left.dueMs < right.dueMs || (left.dueMs === right.dueMs && left.sequence < right.sequence);
}
