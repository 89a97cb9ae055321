// The labels of the project: the chosen one goes to new objects.

import { fill, h } from "../dom.js";
import { iconButton } from "./buttons.js";

/** @param {any} app @returns {HTMLElement} */
export function startLabels(app) {
  const { store, annotator } = app;
  const chips = h("div", { class: "labels", role: "group", "aria-label": "Label for new objects" });
  const choose = (/** @type {number | null} */ id) => {
    store.set({ label: id });
    const { selection } = store.state;
    if (selection.length) annotator.edit(selection, { label: id });
  };
  store.on(["labels", "label", "active", "revision"], (/** @type {any} */ { labels, label, active, image }) => {
    const current = image?.object(active)?.label ?? (active === null ? label : null);
    const chip = (/** @type {any} */ id, /** @type {string} */ name, /** @type {string | null} */ colour) =>
      h(
        "button",
        {
          class: "label",
          type: "button",
          "aria-pressed": String(current === id),
          onclick: () => choose(id),
          ondblclick: () => id !== null && app.open.label({ rename: id }),
          title: id === null ? "No label" : `${name} (press twice to rename)`,
        },
        h("span", { class: "swatch", style: colour ? { "--colour": colour } : {} }),
        name,
      );
    const focused = chips.contains(document.activeElement);
    fill(
      chips,
      chip(null, "No label", null),
      labels.map((/** @type {any} */ each) => chip(each.id, each.name, each.colour)),
    );
    if (focused) chips.querySelector("[aria-pressed=true]")?.focus();
  });
  const undo = iconButton("Undo the last change to labels", "undo", () => annotator.changeProject({ kind: "undo" }));
  const redo = iconButton("Redo the last change to labels", "redo", () => annotator.changeProject({ kind: "redo" }));
  store.on(["projectDocument"], (/** @type {any} */ { projectDocument }) => {
    undo.hidden = !projectDocument?.can_undo;
    redo.hidden = !projectDocument?.can_redo;
  });
  return h(
    "div",
    { class: "head labelling" },
    h(
      "div",
      { class: "row" },
      h("h2", { class: "grow" }, "Labels"),
      undo,
      redo,
      iconButton("New label", "plus", () => app.open.label({ add: true })),
    ),
    chips,
  );
}
