// Choose a label by typing; what does not exist yet is made.

import { get } from "../api.js";
import { button, buttonRow, openDialog } from "./frame.js";
import { fill, h } from "../dom.js";
import { colourOf } from "../core/color.js";
import { current } from "../panels/labels.js";

/** @param {any} app @param {{add?: boolean, rename?: number}} [options] */
export function openLabel(app, { add = false, rename } = {}) {
  if (rename !== undefined) return openRename(app, rename);
  const { store, annotator } = app;
  const input = h("input", {
    type: "text",
    maxlength: 80,
    placeholder: add ? "Name of the new label" : "Label",
    "aria-label": "Label",
    role: "combobox",
    "aria-expanded": "true",
    "aria-controls": "label-options",
    autocomplete: "off",
  });
  const options = h("div", { class: "options", id: "label-options", role: "listbox", "aria-label": "Labels" });
  let at = -1; // the label that there is, until something is typed
  /** @type {{id: number | null, name: string, colour: string | null}[]} */
  let found = [];
  const take = (/** @type {any} */ choice) => {
    dialog.close();
    annotator.turn(() => give(choice));
  };
  const give = async (/** @type {any} */ choice) => {
    const id = choice.id === -1 ? await made(annotator, choice.name, store.state.labels.length) : choice.id;
    if (id === undefined) return;
    if (add) store.set({ label: id });
    else await annotator.giveLabel(id);
  };
  const chosen = current(store.state);
  const show = () => {
    found = matches(store.state.labels, input.value.trim(), add);
    if (at < 0) at = found.findIndex((each) => each.id === chosen);
    at = Math.min(Math.max(at, 0), Math.max(found.length - 1, 0));
    fill(
      options,
      found.map((each, i) =>
        h(
          "div",
          {
            class: "option",
            role: "option",
            id: `label-option-${i}`,
            "aria-selected": String(i === at),
            onclick: () => take(each),
          },
          h("span", { class: "swatch", style: each.colour ? { "--colour": each.colour } : {} }),
          each.id === -1 ? `New label “${each.name}”` : each.name,
        ),
      ),
    );
    input.setAttribute("aria-activedescendant", found.length ? `label-option-${at}` : "");
  };
  input.addEventListener("input", () => ((at = 0), show()));
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && found[at]) return (event.preventDefault(), take(found[at]));
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return undefined;
    event.preventDefault();
    at = (at + by + found.length) % Math.max(found.length, 1);
    return show();
  });
  const count = store.state.selection.length;
  const title = add
    ? "New label"
    : count
      ? `Label ${count === 1 ? "this object" : `${count} objects`}`
      : "Label for new objects";
  const dialog = openDialog(title, [input, options], { name: "label-dialog" });
  show();
  input.focus();
  return dialog;
}

/** @param {any[]} labels @param {string} words @param {boolean} add only new ones */
function matches(labels, words, add) {
  const lower = words.toLowerCase(),
    exact = labels.some((label) => label.name.toLowerCase() === lower);
  const found = add
    ? []
    : labels
        .filter((label) => label.name.toLowerCase().includes(lower))
        .sort(
          (a, b) => Number(b.name.toLowerCase().startsWith(lower)) - Number(a.name.toLowerCase().startsWith(lower)),
        );
  if (words && !exact) found.push({ id: -1, name: words, colour: colourOf(labels.length) });
  if (!words && !add) found.push({ id: null, name: "No label", colour: null });
  return found;
}

/** @param {any} annotator @param {string} name @param {number} number @returns {Promise<number | undefined>} id of the new label */
async function made(annotator, name, number) {
  const answer = await annotator.changeProject({ kind: "label.add", name, colour: colourOf(number) });
  return answer?.document.labels.find((/** @type {any} */ label) => label.name === name)?.id;
}

/** @param {any} app @param {number} id */
function openRename({ store, annotator }, id) {
  const label = store.state.labels.find((/** @type {any} */ each) => each.id === id);
  const name = h("input", { type: "text", value: label.name, maxlength: 80, "aria-label": "Name of the label" });
  const colour = h("input", { type: "color", value: label.colour, "aria-label": "Colour of the label" });
  const save = () => {
    dialog.close();
    if (name.value.trim())
      annotator.changeProject({ kind: "label.edit", label: id, name: name.value.trim(), colour: colour.value });
  };
  const remove = async () => {
    const counted = await get("/api/statistics").catch(() => ({ labels: [] }));
    const count = counted.labels.find((/** @type {any} */ each) => each.label === id)?.objects ?? 0;
    const lose = count === 1 ? "1 object loses it" : `${count} objects lose it`;
    fill(
      form,
      h("p", null, `Delete the label “${label.name}”? ${lose}. Undo brings it back.`),
      buttonRow(
        button("Keep it", () => dialog.close()),
        h("span", { class: "grow" }),
        button("Delete", gone, "danger"),
      ),
    );
    form.querySelector("button")?.focus();
  };
  const { labels } = store.state,
    place = labels.indexOf(label),
    others = labels.filter((/** @type {any} */ each) => each !== label);
  const change = (/** @type {any} */ action) => (
    dialog.close(), annotator.turn(() => annotator.changeProject({ label: id, ...action }))
  );
  const move = (/** @type {string} */ words, /** @type {number} */ to) =>
    h(
      "button",
      {
        class: "button",
        type: "button",
        disabled: to < 0 || to >= labels.length,
        onclick: () => change({ kind: "label.move", to }),
      },
      words,
    );
  const into = h(
    "select",
    { class: "grow", "aria-label": "Merge into", onchange: () => change({ kind: "label.merge", into: Number(into.value) }) },
    h("option", { value: "" }, "Merge into …"),
    others.map((/** @type {any} */ each) => h("option", { value: each.id }, each.name)),
  );
  const gone = () => {
    dialog.close();
    annotator.turn(() => annotator.changeProject({ kind: "label.delete", label: id }));
  };
  const form = h(
    "form",
    { onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), save()) },
    h("div", { class: "row" }, name, colour),
    h(
      "div",
      { class: "row" },
      move("To the top", place ? 0 : -1),
      move("Up", place - 1),
      move("Down", place + 1),
      others.length ? into : null,
    ),
    buttonRow(
      button("Delete label", remove, "danger"),
      h("span", { class: "grow" }),
      h("button", { class: "button main", type: "submit" }, "Save"),
    ),
  );
  const dialog = openDialog("Label", form, { name: "label-dialog" });
  name.select();
  return dialog;
}
