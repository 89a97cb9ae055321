// The strip of tools.

import { byId, h } from "../dom.js";
import { iconButton, toolButton } from "./buttons.js";

const TOOLS = ["click", "box", "scribble", "brush", "eraser", "polygon", "hand"];

/** @param {any} app */
export function startToolbar(app) {
  const { store } = app,
    nav = byId("tools");
  const buttons = TOOLS.map((name) => toolButton(app, name, name));
  const sign = iconButton("What a click says", "plus", () => store.set({ polarity: store.state.polarity ? 0 : 1 }), {
    class: "sign",
  });
  // on a phone the list of objects, with its button, is in a drawer
  const fresh = iconButton("New object", "check", () => app.annotator.turn(() => app.annotator.take(null)), { class: "fresh" });
  const whole = toolButton(app, "whole", "whole");
  nav.append(
    ...buttons,
    h("div", { class: "rule" }),
    sign,
    fresh,
    whole,
    h("div", { class: "rule" }),
    toolButton(app, "undo", "undo"),
    toolButton(app, "redo", "redo"),
  );
  store.on(["tool"], (/** @type {any} */ { tool }) =>
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(TOOLS[i] === tool))),
  );
  store.on(["active", "selection"], (/** @type {any} */ { active, selection }) => (fresh.disabled = active === null && !selection.length));
  store.on(["whole"], (/** @type {any} */ state) => whole.setAttribute("aria-pressed", String(state.whole)));
  store.on(["polarity"], (/** @type {any} */ { polarity }) => {
    const words = polarity
      ? "Clicks add to the object. Press to switch"
      : "Clicks remove from the object. Press to switch";
    sign.title = words;
    sign.setAttribute("aria-label", words);
    sign.setAttribute("data-sign", polarity ? "plus" : "minus");
    sign.querySelector("path")?.setAttribute("d", polarity ? "M10 4v12M4 10h12" : "M4 10h12");
  });
  store.on(["image", "revision", "moves"], (/** @type {any} */ { image, moves }) => {
    for (const way of ["undo", "redo"]) {
      const button = /** @type {any} */ (nav.querySelector(`[data-command="${way}"]`));
      button.disabled = !image?.document?.[`can_${way}`] && !moves[way];
    }
  });
}
