/** A first-in first-out queue whose `shift` costs the same however long it is; an array's does not. */
export class Queue<Item> {
  #items: (Item | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  peek(): Item | undefined {
    return this.#items[this.#head];
  }

  shift(): Item | undefined {
    const item = this.#items[this.#head];
    if (this.#head < this.#items.length) {
      this.#items[this.#head++] = undefined;
      // Moving what is left only when it is the smaller half keeps the cost per item constant.
      if (this.#head * 2 > this.#items.length) {
        this.#items = this.#items.slice(this.#head);
        this.#head = 0;
      }
    }
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
  }
}
