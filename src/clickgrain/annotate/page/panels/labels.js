// The labels of the project: the chosen one goes to new objects.

import { fill, h } from "../dom.js";
import { iconButton } from "./buttons.js";

const DOUBLE_MS = 350;

/** @param {any} state @returns {number | null} label of the object in hand, or for the next one */
export function current({ label, active, image }) {
  return image?.object(active)?.label ?? (active === null ? label : null);
}

/** @param {any} app @returns {HTMLElement} */
export function startLabels(app) {
  const { store, annotator } = app;
  const chips = h("div", { class: "labels", role: "group", "aria-label": "Label for new objects" });
  const choose = (/** @type {number | null} */ id) => {
    store.set({ label: id });
    const { selection, image } = store.state;
    const others = selection.filter((/** @type {number} */ each) => image?.object(each)?.label !== id);
    return annotator.edit(others, { label: id });
  };
  let second = () => {};
  /** A label is chosen once it is sure that no second click, which renames it, follows; what comes after waits for that. */
  const press = (/** @type {MouseEvent} */ event, /** @type {number | null} */ id) => {
    if (event.detail > 1) {
      second();
      return id !== null && app.open.label({ rename: id });
    }
    if (!event.detail || id === null || id === current(store.state)) return annotator.turn(() => choose(id));
    const sure = new Promise((done) => {
      second = () => done(false);
      setTimeout(() => done(true), DOUBLE_MS);
    });
    return annotator.turn(async () => (await sure) && choose(id));
  };
  store.on(["labels", "label", "active", "revision"], (/** @type {any} */ state) => {
    const { labels } = state,
      chosen = current(state);
    const chip = (/** @type {any} */ id, /** @type {string} */ name, /** @type {string | null} */ colour) =>
      h(
        "button",
        {
          class: "label",
          type: "button",
          "aria-pressed": String(chosen === id),
          onclick: (/** @type {MouseEvent} */ event) => press(event, id),
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
