// A small observable record: panels listen to the keys they show.

/**
 * @template {Record<string, any>} T
 */
export class Store {
  /** @param {T} initial */
  constructor(initial) {
    /** @type {T} */
    this.state = { ...initial };
    /** @type {Set<{keys: Set<string>, call: (state: T) => void}>} */
    this.listeners = new Set();
    /** @type {Set<string>} */
    this.changed = new Set();
  }

  /**
   * Change some keys; listeners run once, in a microtask, however many changes came together.
   * @param {Partial<T>} changes
   */
  set(changes) {
    for (const [key, value] of Object.entries(changes)) {
      if (this.state[key] === value) continue;
      this.state = { ...this.state, [key]: value };
      if (!this.changed.size) queueMicrotask(() => this.#tell());
      this.changed.add(key);
    }
  }

  #tell() {
    const changed = this.changed;
    this.changed = new Set();
    for (const { keys, call } of this.listeners) {
      for (const key of changed) {
        if (keys.has(key)) {
          call(this.state);
          break;
        }
      }
    }
  }

  /**
   * Call now, and whenever one of the keys has changed.
   * @param {(keyof T & string)[]} keys @param {(state: T) => void} call
   * @returns {() => void} stop listening
   */
  on(keys, call) {
    const listener = { keys: new Set(/** @type {string[]} */ (keys)), call };
    this.listeners.add(listener);
    call(this.state);
    return () => this.listeners.delete(listener);
  }
}
