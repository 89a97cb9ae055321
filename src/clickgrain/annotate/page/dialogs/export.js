// Take the work out, or bring work in.

import { post } from "../api.js";
import { button, openDialog } from "./frame.js";
import { last, outcome, remember } from "../longwork.js";
import { fill, h } from "../dom.js";

const FORMATS = [
  ["coco", "COCO", "one JSON file; outlines as polygons", "polygons=1"],
  ["coco-rle", "COCO, run lengths", "one JSON file; exact to the pixel", "polygons=0"],
  ["yolo", "YOLO segmentation", "a text file an image"],
  ["labelme", "labelme", "a JSON file an image"],
  ["label-studio", "Label Studio", "one JSON file, and a labeling config; exact to the pixel"],
  ["geojson", "GeoJSON", "a file an image; map coordinates of GeoTIFFs"],
  ["datumaro", "Datumaro", "one JSON file; exact to the pixel"],
  ["voc", "Pascal VOC", "boxes, an XML file an image"],
  ["semantic", "PNG, semantic", "a label number in every pixel"],
  ["instance", "PNG, instance", "an object number in every pixel"],
  ["panoptic", "PNG, panoptic", "labels and objects, COCO panoptic"],
];

/** @param {any} app @param {boolean} [resumes] whether this tab was importing before it was reloaded */
export function openExport(app, resumes = false) {
  const only = h(
    "select",
    { "aria-label": "Images", onchange: () => aim() },
    h("option", { value: "all" }, "All images with objects"),
    h("option", { value: "done" }, "Only images that are done"),
    h("option", { value: "checked" }, "Only images that are checked"),
  );
  const link = h("a", { class: "button main", download: "" }, "Download");
  const radios = FORMATS.map(([id, name, words], i) =>
    h(
      "label",
      { class: "format" },
      h("input", { type: "radio", name: "format", value: id, checked: i === 0, onchange: () => aim() }),
      h("span", null, h("b", null, name), h("span", { class: "quiet" }, words)),
    ),
  );
  const form = h("fieldset", { class: "formats" }, h("legend", null, "Format"), radios);
  const aim = () => {
    const id = form.querySelector("input:checked")?.value ?? "coco";
    const more = FORMATS.find((format) => format[0] === id)?.[3];
    link.href = `/api/export?format=${id.replace("-rle", "")}${more ? `&${more}` : ""}&only=${only.value}`;
  };
  aim();
  openDialog(
    "Export and import",
    [
      form,
      h("div", { class: "row" }, only, h("span", { class: "grow" }), link),
      importer(app, resumes),
    ],
    { name: "export-dialog" },
  );
}

/** @param {any} app @param {boolean} resumes */
function importer(app, resumes) {
  const { annotator, gallery, store } = app;
  const result = h("div", { role: "status" });
  const existing = h(
    "select",
    null,
    h("option", { value: "skip" }, "are skipped"),
    h("option", { value: "add" }, "are added again"),
    h("option", { value: "replace" }, "replace all that is not locked"),
  );
  const read = async (/** @type {File | undefined} */ file, /** @type {string} */ how = existing.value) => {
    if (!file) return;
    const query = new URLSearchParams({ name: file.name, existing: how });
    fill(result, h("p", null, `Reading ${file.name} …`));
    remember("import");
    const before = last(app, "import")?.id ?? "";
    const coming = post(`/api/import?${query}`, new Blob([file])).catch((error) => outcomeOf(before, error));
    await show(coming, (way) => read(file, way));
  };
  const outcomeOf = async (/** @type {string} */ before, /** @type {any} */ error) => {
    if (error && error.code !== "offline") throw error;
    const job = await outcome(app, "import", ({ text }) => fill(result, h("p", null, text)), before);
    if (job?.state !== "done") throw new Error(job?.error ?? "The import did not begin, or was stopped.");
    return job.result; // only the answer got lost
  };
  const show = async (/** @type {Promise<any>} */ coming, /** @type {((how: string) => any) | null} */ read) => {
    try {
      const answer = await coming;
      fill(
        result,
        h(
          "p",
          null,
          `${answer.objects} objects in ${answer.images} images. ${answer.made.length ? "Undo takes them all away again; labels stay." : ""}`,
        ),
        answer.there && read ? again(answer.there, read) : null,
        answer.skipped.length ? skipped(answer.skipped) : null,
      );
      if (answer.made.length) annotator.remember({ found: answer.made, how: "imported" });
      await Promise.all([annotator.refreshProject(), gallery.loadList(), store.state.image?.refresh()]);
    } catch (error) {
      fill(result, h("p", { role: "alert", class: "trouble" }, /** @type {Error} */ (error).message));
    }
    remember("");
  };
  const file = h("input", {
    type: "file",
    accept: ".json,.zip",
    "aria-label": "File to import",
    onchange: () => read(file.files[0]),
  });
  const zone = h(
    "label",
    { class: "drop" },
    h("b", null, "Import"),
    h(
      "span",
      { class: "quiet" },
      "COCO or labelme JSON, or a ZIP of these or of a YOLO data set: choose one or drop it here.",
    ),
    file,
  );
  zone.addEventListener("dragover", (/** @type {DragEvent} */ event) => event.preventDefault());
  zone.addEventListener("drop", (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    read(event.dataTransfer?.files[0]);
  });
  const choice = h("label", { class: "check" }, "Objects that are there already ", existing);
  if (resumes) show(outcomeOf("", null), null);
  return h("section", null, zone, choice, result);
}

/**
 * The file, or part of it, was imported before.
 * @param {number} count @param {(how: string) => any} read
 */
function again(count, read) {
  return h(
    "div",
    { class: "row" },
    h("span", { class: "grow" }, `${count} ${count === 1 ? "is" : "are"} there already: skipped. Import again?`),
    button("Add a second time", () => read("add")),
    button("Replace what is there", () => read("replace")),
  );
}

/** @param {string[]} lines */
function skipped(lines) {
  return h(
    "details",
    null,
    h("summary", null, `${lines.length} left out`),
    h(
      "ul",
      null,
      lines.slice(0, 200).map((line) => h("li", null, line)),
    ),
  );
}
