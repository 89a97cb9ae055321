// The labels of the project: the chosen one goes to new objects.

import { fill, h, nameIn } from "../dom.js";
import { iconButton } from "./buttons.js";
import { labelOf } from "../core/color.js";
import { bindings, labelKeys } from "../core/keys.js";

const DOUBLE_MS = 350;

/** @param {any} state @returns {number | null} label of the object in hand, or for the next one */
export function current({ label, labels, active, image }) {
  const object = image?.object(active);
  return object ? (labelOf(object, labels)?.id ?? null) : label;
}

/** @param {any} app @returns {HTMLElement} */
export function startLabels(app) {
  const { store, annotator } = app;
  const list = h("div", { class: "labels", role: "group", "aria-label": "Label for new objects" });
  const choose = (/** @type {number | null} */ id) => annotator.giveLabel(id);
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
  store.on(["labels", "label", "active", "revision", "preferences"], (/** @type {any} */ state) => {
    const { labels, image, preferences } = state,
      chosen = current(state),
      keys = new Map([...labelKeys(labels, bindings(preferences.keys))].map(([key, id]) => [id, key])),
      here = (image?.document?.objects ?? []).map((/** @type {any} */ each) => labelOf(each, labels)?.id ?? null);
    const row = (/** @type {any} */ id, /** @type {string} */ name, /** @type {string | null} */ colour) => {
      const count = here.filter((/** @type {any} */ each) => each === id).length,
        key = keys.get(id);
      return h(
        "button",
        {
          class: "label",
          type: "button",
          "aria-pressed": String(chosen === id),
          onclick: (/** @type {MouseEvent} */ event) => press(event, id),
          title: id === null ? "No label" : `${name}${key ? `, key ${key}` : ""} (press twice to rename, move or merge)`,
        },
        h("span", { class: "swatch", style: colour ? { "--colour": colour } : {} }),
        nameIn(h("span", { class: "grow name" }), name, ""),
        count ? h("span", { class: "quiet", title: "In this image" }, String(count)) : null,
        key ? h("kbd", null, key) : null,
      );
    };
    const focused = list.contains(document.activeElement);
    fill(
      list,
      row(null, "No label", null),
      labels.map((/** @type {any} */ each) => row(each.id, each.name, each.colour)),
    );
    const pressed = list.querySelector("[aria-pressed=true]");
    pressed?.scrollIntoView({ block: "nearest" });
    if (focused) pressed?.focus({ preventScroll: true });
  });
  const move = (/** @type {"undo" | "redo"} */ kind) => annotator.turn(() => annotator.historyOfLabelsAlone(kind));
  const undo = iconButton("Undo the last change to labels", "undo", () => move("undo"));
  const redo = iconButton("Redo the last change to labels", "redo", () => move("redo"));
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
    list,
  );
}
