// How the image is looked at: brightness, contrast, gamma, and of files with more than 8 bits, window and level.

import { NEUTRAL } from "../canvas/tones.js";
import { h } from "../dom.js";

const WAIT_MS = 120;

/** @param {any} store */
export function tonePanel(store) {
  const change = (/** @type {any} */ changes) => store.set({ tones: { ...store.state.tones, ...changes } });
  const sliders = Object.entries({ brightness: [-1, 1], contrast: [-1, 1], gamma: [0.2, 5] }).map(([name, [min, max]]) => {
    // gamma in equal steps of brightness
    const [to, from] = name === "gamma" ? [Math.log, Math.exp] : [Number, Number];
    const slider = ranged(to(min), to(max), 0.02, (value) => change({ [name]: from(value) }));
    store.on(["tones"], (/** @type {any} */ state) => (slider.value = String(to(state.tones[name]))));
    return row(name[0].toUpperCase() + name.slice(1), slider);
  });
  const back = h("button", { class: "button", type: "button", onclick: () => store.set({ tones: NEUTRAL }) }, "As it is");
  store.on(["tones"], (/** @type {any} */ state) => (back.hidden = state.tones === NEUTRAL));
  return [deep(store, change), sliders, back];
}

/**
 * Window and level, in the values of the file; clicks are answered on the window that it was read with.
 * @param {any} store @param {(changes: any) => void} change
 */
function deep(store, change) {
  const words = h("output", { class: "quiet" });
  /** Middle and width of the window now, and those that the file was read with. */
  const now = () => {
    const [, low, high] = store.state.image.info.values,
      [from, to] = store.state.tones.window ?? [low, high];
    return { level: (from + to) / 2, width: to - from, low, high };
  };
  const put = (/** @type {number} */ level, /** @type {number} */ width) =>
    change({ window: [level - width / 2, level + width / 2].map((value) => Number(value.toPrecision(6))) });
  const level = ranged(0, 1, "any", (value) => put(value, now().width)),
    // in equal steps of contrast
    width = ranged(0, 1, "any", (value) => put(now().level, Math.exp(value)));
  const element = h("div", { class: "deep" }, row("Level", level), row("Window", width), words);
  let timer = 0;
  store.on(["image", "tones"], (/** @type {any} */ { image, tones }) => {
    element.hidden = !image?.info.values;
    if (element.hidden) return;
    const { low, high, ...at } = now(),
      span = high - low || 1;
    Object.assign(level, { min: low - span, max: high + 3 * span });
    Object.assign(width, { min: Math.log(span / 50), max: Math.log(span * 100) });
    level.value = String(at.level);
    width.value = String(Math.log(at.width));
    words.textContent = `${round(at.level - at.width / 2)} to ${round(at.level + at.width / 2)} of ${image.info.values[0]}`;
    clearTimeout(timer);
    timer = setTimeout(() => image.look(tones.window).catch(() => {}), WAIT_MS);
  });
  return element;
}

/** @param {number} value */
const round = (value) => Number(value.toPrecision(4));

/** @param {number} min @param {number} max @param {number | string} step @param {(value: number) => void} oninput */
function ranged(min, max, step, oninput) {
  const slider = h("input", { type: "range", min, max, step, class: "grow" });
  slider.addEventListener("input", () => oninput(Number(slider.value)));
  return slider;
}

/** @param {string} title @param {HTMLElement} slider */
const row = (title, slider) => h("label", { class: "row" }, title, slider);
