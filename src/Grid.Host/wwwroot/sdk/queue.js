/** A first-in first-out queue whose `shift` costs the same however long it is; an array's does not. */
export class Queue {
    #items = [];
    #head = 0;
    get length() {
        return this.#items.length - this.#head;
    }
    push(item) {
        this.#items.push(item);
    }
    peek() {
        return this.#items[this.#head];
    }
    shift() {
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
    clear() {
        this.#items = [];
        this.#head = 0;
    }
}
