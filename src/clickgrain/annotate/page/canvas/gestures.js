// Pointer events as gestures: hover, press, drag, release; two fingers or the middle button move the image.

/** @typedef {{x: number, y: number}} Point screen point inside the stage */
/**
 * @typedef {object} Handlers
 * @property {(point: Point, event: PointerEvent) => void} hover @property {() => void} leave
 * @property {(point: Point, event: PointerEvent) => void} press @property {(point: Point, event: PointerEvent) => void} drag
 * @property {(point: Point, event: PointerEvent, moved: boolean) => void} release @property {() => void} cancel
 * @property {(dx: number, dy: number) => void} pan @property {(factor: number, at: Point) => void} zoom
 * @property {(direction: number, at: Point) => void} walk through levels @property {(point: Point) => void} hold long press
 * @property {(direction: number) => void} size of the brush
 * @property {(event: PointerEvent) => boolean} moves whether this press moves the image
 * @property {(other: boolean) => string} wheel "walk", "size" or "zoom"
 */

const CLICK_SLACK = { mouse: 4, pen: 8, touch: 10 };
const HOLD_MS = 550;
const NOTCH = 40;
const REST_MS = 250;

export class Gestures {
  /** @param {HTMLElement} element @param {Handlers} handlers */
  constructor(element, handlers) {
    this.element = element;
    this.handlers = handlers;
    /** @type {Map<number, Point>} */
    this.down = new Map();
    this.mode = "";
    /** @type {Point} */
    this.from = { x: 0, y: 0 };
    this.moved = false;
    this.rest = 0;
    this.scrolled = { time: -Infinity, fingers: false };
    this.timer = 0;
    const listen = (/** @type {string} */ name, /** @type {(event: any) => void} */ call) =>
      element.addEventListener(name, call.bind(this));
    listen("pointerdown", this.#down);
    listen("pointermove", this.#move);
    listen("pointerup", this.#up);
    listen("pointercancel", this.#lost);
    listen("pointerleave", (event) => this.down.size || event.pointerType === "touch" || handlers.leave());
    element.addEventListener("wheel", this.#wheel.bind(this), { passive: false });
    listen("contextmenu", (event) => event.preventDefault());
  }

  /** @param {{clientX: number, clientY: number}} event @returns {Point} */
  #at(event) {
    const { left, top } = this.element.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  /** @param {PointerEvent} event */
  #down(event) {
    const at = this.#at(event);
    this.element.focus(/** @type {any} */ ({ preventScroll: true, focusVisible: false }));
    this.element.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, at);
    clearTimeout(this.timer);
    if (this.down.size === 2) {
      if (this.mode === "tool") this.handlers.cancel();
      this.mode = "pinch";
    } else if (this.down.size === 1) {
      this.from = at;
      this.moved = false;
      this.mode = event.button === 1 || this.handlers.moves(event) ? "pan" : "tool";
      if (this.mode === "tool") this.#press(at, event);
    }
  }

  /** @param {Point} at @param {PointerEvent} event */
  #press(at, event) {
    this.handlers.press(at, event);
    if (event.pointerType !== "touch") return;
    this.timer = setTimeout(() => {
      if (this.mode !== "tool" || this.moved) return;
      this.mode = "held";
      this.handlers.hold(at);
    }, HOLD_MS);
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const at = this.#at(event),
      before = this.down.get(event.pointerId);
    if (!before) {
      if (!this.down.size) this.handlers.hover(at, event);
      return;
    }
    if (this.mode === "pinch") return this.#pinch(event.pointerId, at);
    this.down.set(event.pointerId, at);
    const slack = CLICK_SLACK[/** @type {"mouse"} */ (event.pointerType)] ?? 4;
    if (Math.hypot(at.x - this.from.x, at.y - this.from.y) > slack) this.moved = true;
    if (this.mode === "pan") this.handlers.pan(at.x - before.x, at.y - before.y);
    else if (this.mode === "tool") this.#drag(event, at);
  }

  /** @param {PointerEvent} event @param {Point} at */
  #drag(event, at) {
    // a fast stroke brings several points with one event
    const between = event.getCoalescedEvents?.() ?? [];
    for (const each of between.slice(0, -1)) this.handlers.drag(this.#at(each), event);
    this.handlers.drag(at, event);
  }

  /** @param {number} id @param {Point} at */
  #pinch(id, at) {
    const [a, b] = [...this.down.values()];
    this.down.set(id, at);
    const [c, d] = [...this.down.values()];
    if (!b || !d) return;
    const middle = (/** @type {Point} */ p, /** @type {Point} */ q) => ({ x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 });
    const before = middle(a, b),
      after = middle(c, d);
    this.handlers.pan(after.x - before.x, after.y - before.y);
    const length = Math.hypot(a.x - b.x, a.y - b.y);
    if (length > 1) this.handlers.zoom(Math.hypot(c.x - d.x, c.y - d.y) / length, after);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    clearTimeout(this.timer);
    const at = this.#at(event);
    if (!this.down.delete(event.pointerId)) return;
    if (this.mode === "tool") this.handlers.release(at, event, this.moved);
    if (!this.down.size || this.mode === "tool") this.mode = "";
    if (event.pointerType === "touch" && !this.down.size) this.handlers.leave();
  }

  /** @param {PointerEvent} event */
  #lost(event) {
    clearTimeout(this.timer);
    this.down.delete(event.pointerId);
    if (this.mode === "tool") this.handlers.cancel();
    this.mode = "";
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const at = this.#at(event),
      unit = event.deltaMode === 1 ? 16 : 1,
      dx = event.deltaX * unit,
      dy = event.deltaY * unit,
      delta = dy || dx;
    const zoom = (/** @type {number} */ rate) => this.handlers.zoom(Math.exp(-delta * rate), at);
    // a trackpad's pinch arrives as a wheel with Ctrl
    if (event.ctrlKey || event.metaKey) return zoom(Math.abs(delta) < 40 ? 0.01 : 0.0022);
    if (this.#byFingers(event, dx, dy)) return this.handlers.pan(-dx, -dy);
    const does = this.handlers.wheel(event.altKey);
    if (does === "zoom") return zoom(0.0022);
    if (this.rest * delta < 0) this.rest = 0;
    this.rest += delta;
    if (Math.abs(this.rest) < NOTCH) return undefined;
    this.rest = 0;
    return does === "size" ? this.handlers.size(delta < 0 ? 1 : -1) : this.handlers.walk(delta < 0 ? 1 : -1, at);
  }

  /**
   * Whether two fingers scroll on a trackpad, which no browser tells: a wheel moves by notches along one axis. A
   * scroll that was seen to be one stays one until it rests.
   * @param {WheelEvent} event @param {number} dx @param {number} dy CSS pixels
   */
  #byFingers(event, dx, dy) {
    const going = event.timeStamp - this.scrolled.time < REST_MS;
    const notched =
      event.deltaMode === 1 || (!(dx && dy) && (Math.abs(dx || dy) >= NOTCH || isNotch(/** @type {any} */ (event))));
    this.scrolled = { time: event.timeStamp, fingers: (going && this.scrolled.fingers) || !notched };
    return this.scrolled.fingers;
  }
}

/** @param {{wheelDelta?: number}} event @returns {boolean} whole notches, as mice report them */
function isNotch({ wheelDelta }) {
  return Boolean(wheelDelta) && Number(wheelDelta) % 120 === 0;
}
