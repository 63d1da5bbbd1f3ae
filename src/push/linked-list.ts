/**
 * A doubly linked list whose links live in its members: append, take and remove from the middle in
 * constant time and without allocation. (A Map used as an ordered set degrades when its oldest
 * member is taken again and again: every look at the front skips the holes left behind.)
 *
 * Invariant: a member is in at most one list; `list` names it.
 */

/** The links of one member. Only LinkedList writes them. */
export interface Linked<Member> {
  previous: Member | undefined;
  next: Member | undefined;
  list: object | undefined;
}

export class LinkedList<Member extends Linked<Member>> {
  #first: Member | undefined;
  #last: Member | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get first(): Member | undefined {
    return this.#first;
  }

  /** From first to last; the member at hand may be removed meanwhile. */
  *[Symbol.iterator](): Generator<Member> {
    for (let member = this.#first; member !== undefined;) {
      const { next } = member;
      yield member;
      member = next;
    }
  }

  append(member: Member): void {
    member.previous = this.#last;
    member.next = undefined;
    member.list = this;
    if (this.#last === undefined) this.#first = member;
    else this.#last.next = member;
    this.#last = member;
    this.#length++;
  }

  /** Removes `member`; false where it is not in this list. */
  remove(member: Member): boolean {
    if (member.list !== this) return false;
    if (member.previous === undefined) this.#first = member.next;
    else member.previous.next = member.next;
    if (member.next === undefined) this.#last = member.previous;
    else member.next.previous = member.previous;
    member.previous = undefined;
    member.next = undefined;
    member.list = undefined;
    this.#length--;
    return true;
  }
}
