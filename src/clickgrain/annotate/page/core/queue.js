// Actions wait in line, so that each carries the number of the one before it, and none is lost while the server is away.

/** @typedef {{action: any, client: string, active: number, tries: number, resolve: (answer: any) => void, reject: (error: Error) => void}} Waiting */

/** Actions that may be sent again after those of another tab, because they depend on nothing else. */
const AGAIN = [
  "object.add_steps",
  "object.edit",
  "object.delete",
  "status",
  "label.add",
  "label.edit",
  "overlap",
];

const MOST_TRIES = 50;

export class Queue {
  /**
   * @param {object} how
   * @param {(body: any) => Promise<any>} how.send posts {seq, client, active, action}; throws errors with `.kind`
   * @param {(answer: any) => void} how.took an answer, or the state that a conflict showed
   * @param {(waiting: number, problem: any) => void} how.tell whenever the line or its problem changes
   * @param {string} how.tab name of this tab
   * @param {(seconds: number) => Promise<void>} [how.sleep]
   */
  constructor({ send, took, tell, tab, sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds)) }) {
    this.send = send;
    this.took = took;
    this.tell = tell;
    this.tab = tab;
    this.sleep = sleep;
    this.seq = 0;
    this.sent = 0;
    this.running = false;
    /** @type {Waiting[]} */
    this.line = [];
  }

  /**
   * Put an action in line.
   * @param {any} action @param {number} [active] seconds of work @returns {Promise<any>} the server's answer
   */
  add(action, active = 0) {
    return new Promise((resolve, reject) => {
      this.line.push({ action, active, client: `${this.tab}:${++this.sent}`, tries: 0, resolve, reject });
      this.tell(this.line.length, null);
      if (!this.running) this.#run();
    });
  }

  async #run() {
    this.running = true;
    while (this.line.length) await this.#one(this.line[0]);
    this.running = false;
  }

  /** @param {Waiting} waiting */
  async #one(waiting) {
    const body = { seq: this.seq, client: waiting.client, active: waiting.active, action: waiting.action };
    try {
      const answer = await this.send(body);
      this.#leave(answer);
      waiting.resolve(answer);
    } catch (error) {
      await this.#trouble(waiting, /** @type {any} */ (error));
    }
  }

  /** @param {any} answer */
  #leave(answer) {
    this.line.shift();
    this.seq = answer.seq;
    this.took(answer);
    this.tell(this.line.length, null);
  }

  /** @param {Waiting} waiting @param {any} error */
  async #trouble(waiting, error) {
    if (error.kind === "conflict") return this.#conflict(waiting, error);
    if (error.kind === "retry") {
      this.tell(this.line.length, error);
      return this.sleep(Math.min(0.5 * 2 ** waiting.tries++, 5));
    }
    this.line.shift();
    this.tell(this.line.length, null);
    waiting.reject(error);
  }

  /** Another tab was first: take its state, then send again what still makes sense. */
  async #conflict(/** @type {Waiting} */ waiting, /** @type {any} */ error) {
    const { seq, actions, document } = error.body;
    const mine = actions?.some((/** @type {any} */ each) => each.client === waiting.client);
    if (mine) {
      // it was written, only the answer got lost
      const answer = { seq, document, object: document.objects?.at(-1)?.id ?? null, masks: {} };
      this.#leave(answer);
      return waiting.resolve(answer);
    }
    this.seq = seq;
    this.took({ seq, document, masks: {} });
    // after a while, a different one in every tab: two that write at once must not be in each other's way for ever
    if (AGAIN.includes(waiting.action.kind) && waiting.tries++ < MOST_TRIES) return this.sleep(0.02 * waiting.tries * Math.random());
    this.line.shift();
    this.tell(this.line.length, null);
    return waiting.reject(error);
  }
}
