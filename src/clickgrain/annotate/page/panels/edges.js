// The two lists are as wide as the user drags them; the browser remembers it.

import { byId, h } from "../dom.js";
import { remember } from "../preferences.js";

const LEAST = 160,
  MOST = 480,
  STEP = 16;

/** @param {any} app */
export function startEdges({ store }) {
  for (const [id, side, name] of [
    ["images", 1, "Width of the image list"],
    ["objects", -1, "Width of the object list"],
  ]) {
    const panel = byId(id);
    const put = (/** @type {number | null} */ width) => {
      const within = width === null ? null : Math.round(Math.min(Math.max(width, LEAST), MOST));
      remember(store, { widths: { ...store.state.preferences.widths, [id]: within } });
    };
    const edge = h("div", {
      class: `edge ${id}`,
      role: "separator",
      tabindex: "0",
      "aria-orientation": "vertical",
      "aria-label": name,
      "aria-valuemin": LEAST,
      "aria-valuemax": MOST,
      title: `${name}: drag, or arrow keys; double click as at first`,
      ondblclick: () => put(null),
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        const by = { ArrowRight: STEP, ArrowLeft: -STEP }[event.key];
        if (!by) return;
        event.preventDefault();
        event.stopPropagation();
        put(panel.offsetWidth + by * Number(side));
      },
      onpointerdown: (/** @type {PointerEvent} */ event) => {
        const from = panel.offsetWidth;
        edge.setPointerCapture(event.pointerId);
        edge.onpointermove = (/** @type {PointerEvent} */ now) => put(from + (now.clientX - event.clientX) * Number(side));
      },
      onlostpointercapture: () => (edge.onpointermove = null),
    });
    panel.append(edge);
    store.on(["preferences"], (/** @type {any} */ { preferences }) => {
      const width = preferences.widths[id];
      if (width) panel.style.setProperty("--width", `${width}px`);
      else panel.style.removeProperty("--width");
      edge.setAttribute("aria-valuenow", String(panel.offsetWidth));
    });
  }
}
