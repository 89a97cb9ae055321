// Keys to commands, wherever the focus is, unless it needs the key itself.

import { bindings, combination, labelKeys } from "./core/keys.js";

/** Keys that a focused button, list or slider uses itself. */
const OWN = ["Space", "Enter", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Shift+Space"];

/** What lasts as long as its key is held: command to flag of the stage. @type {Record<string, string>} */
const HELD = { peek: "bare", negate: "negates" };

/** @param {any} stage @param {string} flag @param {boolean} down */
function hold(stage, flag, down) {
  if (stage[flag] === down) return;
  stage[flag] = down;
  stage.draw("look", "base", "top");
}

/** @param {any} app */
export function startKeys({ store, stage, run, annotator }) {
  let map = bindings({}),
    labels = labelKeys([], map);
  store.on(["preferences", "labels"], (/** @type {any} */ state) => {
    map = bindings(state.preferences.keys);
    labels = labelKeys(state.labels, map);
  });
  /** 1 to 9 are labels; where there is none, 1 to 3 choose outlines without Shift too. @param {string} keys */
  const without = (keys) => {
    const label = labels.get(keys);
    if (label !== undefined) annotator.turn(() => annotator.giveLabel(label));
    else if (/^[123]$/.test(keys)) run(`choose${keys}`);
  };

  addEventListener("keydown", (event) => {
    modifiers(stage, event, true);
    if (event.defaultPrevented || document.querySelector("dialog[open]") || writes(event.target)) return undefined;
    const keys = combination(event),
      id = map.get(keys);
    if (!id) return without(keys);
    if (OWN.includes(keys) && uses(event.target)) return undefined;
    event.preventDefault();
    // Space held while the mouse is over the image moves it; a tap of the key clicks where the keyboard points
    if (id === "positive" && stage.pointer && !stage.byKeyboard) return undefined;
    if (id in HELD) hold(stage, HELD[id], true);
    else run(id, event);
    return undefined;
  });
  addEventListener("keyup", (event) => {
    modifiers(stage, event, false);
    const id = map.get(combination(event)) ?? "";
    if (id in HELD) hold(stage, HELD[id], false);
  });
  // the ring around the image is for those who came by Tab, not for everyone who once pressed a key
  addEventListener("keydown", ({ key }) => key === "Tab" && (document.body.dataset.tabbing = ""), true);
  addEventListener("pointerdown", () => delete document.body.dataset.tabbing, true);
  addEventListener("blur", () => {
    modifiers(stage, null, false);
    for (const flag of Object.values(HELD)) hold(stage, flag, false);
  });
  keepFocus(stage.element);
}

/**
 * What is pressed with a mouse or a finger gives the focus to the image, so that the next key is meant for that: Enter
 * would press the button again. Fields to write in keep it, and so does everything for those who use Tab.
 * @param {HTMLElement} stage
 */
function keepFocus(stage) {
  let mouse = false;
  const back = (/** @type {Event} */ event) => {
    const target = /** @type {any} */ (event.target);
    if (!mouse || document.querySelector("dialog[open]") || !target.matches) return;
    const types = target.matches("input:not([type=range], [type=checkbox], [type=radio]), textarea");
    if (types || (event.type !== "change" && target.matches("select"))) return;
    stage.focus(/** @type {any} */ ({ preventScroll: true, focusVisible: false }));
  };
  addEventListener("pointerdown", () => (mouse = true), true);
  addEventListener("keydown", () => (mouse = false), true);
  // before the click: a dialog that it opens gives the focus back to where it was
  addEventListener("mousedown", (event) => {
    const target = /** @type {any} */ (event.target);
    if (!target.closest("button, a, [role='option'], [role='listbox'], [role='row'], [role='grid']") || target.closest("dialog")) return;
    event.preventDefault();
    back(event);
  });
  addEventListener("click", back);
  addEventListener("change", back);
}

/** @param {any} stage @param {KeyboardEvent | null} event @param {boolean} down */
function modifiers(stage, event, down) {
  const space = down && event?.key === " " && !writes(event.target) && !uses(event.target);
  const shift = event?.shiftKey ?? false,
    alt = event?.altKey ?? false;
  if (event?.key === " " || !event) stage.space = space && !stage.byKeyboard && stage.pointer !== null;
  if (shift === stage.shift && alt === stage.alt && event?.key !== " " && event) return;
  Object.assign(stage, { shift, alt });
  stage.draw("look", "top");
}

/** @param {any} target @returns {boolean} whether typing goes there */
function writes(target) {
  if (target.matches?.("select, textarea, [contenteditable]")) return true;
  return target.matches?.("input") && !["range", "checkbox", "radio", "button"].includes(target.type);
}

/** @param {any} target @returns {boolean} whether it answers to Space, Enter or arrows itself */
function uses(target) {
  return target.closest?.("button, a, input, select, summary, [role='option'], [role='listbox'], [role='row'], [role='grid']") !== null;
}
