// The wire format of Protocol Buffers, as far as `grid.v1.proto` uses it.
const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** How the bytes of a field's value are laid out. */
export const wireType = { varint: 0, fixed64: 1, length: 2, fixed32: 5 };
/** Writes the fields of one message. */
export class Writer {
    #bytes = new Uint8Array(128);
    #length = 0;
    /** What was written. */
    finish() {
        return this.#bytes.slice(0, this.#length);
    }
    /** An integer; left out when it is undefined. One that no reader of Grid takes is written as one that every reader refuses. */
    number(field, value) {
        if (value !== undefined) {
            this.#varint(field * 8 + wireType.varint);
            this.#varint(Number.isSafeInteger(value) && value >= 0 ? value : 2 ** 63);
        }
        return this;
    }
    /** Text; left out when it is undefined. */
    text(field, value) {
        return value === undefined ? this : this.bytes(field, utf8.encode(value));
    }
    bytes(field, value) {
        this.#varint(field * 8 + wireType.length);
        this.#varint(value.length);
        this.#room(value.length);
        this.#bytes.set(value, this.#length);
        this.#length += value.length;
        return this;
    }
    /** A message, written by `fill`. */
    message(field, fill) {
        const inner = new Writer();
        fill(inner);
        return this.bytes(field, inner.#bytes.subarray(0, inner.#length));
    }
    #varint(value) {
        this.#room(10);
        // Shifts of JavaScript have 32 bits; numbers here have 53.
        for (; value > 0x7f; value = Math.floor(value / 0x80)) {
            this.#bytes[this.#length++] = (value % 0x80) | 0x80;
        }
        this.#bytes[this.#length++] = value;
    }
    #room(count) {
        if (this.#length + count > this.#bytes.length) {
            const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
            larger.set(this.#bytes);
            this.#bytes = larger;
        }
    }
}
/** Reads the fields of one message. Throws a `RangeError` or `TypeError` for bytes that are none. */
export class Reader {
    /** The number of the current field. */
    field = 0;
    #type = 0;
    #number = 0;
    #value = new Uint8Array(0);
    #bytes;
    #at = 0;
    constructor(bytes) {
        this.#bytes = bytes;
    }
    /** Whether the current field is text, bytes or a message. */
    get isText() {
        return this.#type === wireType.length;
    }
    /** Whether the current field is an integer. */
    get isNumber() {
        return this.#type === wireType.varint;
    }
    /** Reads the next field, known or not; false at the end. */
    next() {
        if (this.#at === this.#bytes.length) {
            return false;
        }
        const tag = this.#varint();
        this.field = Math.floor(tag / 8);
        this.#type = tag % 8;
        if (this.field === 0) {
            throw new RangeError('A field has the number 0.');
        }
        switch (this.#type) {
            case wireType.varint:
                this.#number = this.#varint();
                break;
            case wireType.fixed64:
                this.#take(8);
                break;
            case wireType.length:
                this.#value = this.#take(this.#varint());
                break;
            case wireType.fixed32:
                this.#take(4);
                break;
            default:
                throw new RangeError(`A field has the wire type ${this.#type}.`);
        }
        return true;
    }
    /** The current field as an integer. */
    number() {
        this.#expect(wireType.varint);
        if (!Number.isSafeInteger(this.#number)) {
            throw new RangeError('A number is larger than 2^53 - 1.');
        }
        return this.#number;
    }
    /** The current field as text. */
    text() {
        return strictUtf8.decode(this.bytes());
    }
    /** The current field as bytes, which are those of the frame. */
    bytes() {
        this.#expect(wireType.length);
        return this.#value;
    }
    #expect(type) {
        if (this.#type !== type) {
            throw new RangeError(`The field ${this.field} has the wire type ${this.#type}.`);
        }
    }
    #varint() {
        let value = 0;
        for (let factor = 1, i = 0; i < 10; i++, factor *= 0x80) {
            const part = this.#bytes[this.#at++];
            if (part === undefined) {
                break;
            }
            value += (part & 0x7f) * factor;
            if (part < 0x80) {
                return value;
            }
        }
        throw new RangeError('A number breaks off.');
    }
    #take(length) {
        if (length > this.#bytes.length - this.#at) {
            throw new RangeError('A field breaks off.');
        }
        return this.#bytes.subarray(this.#at, (this.#at += length));
    }
}
