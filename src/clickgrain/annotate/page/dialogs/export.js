// Take the work out, or bring work in.

import { post } from "../api.js";
import { openDialog } from "./frame.js";
import { fill, h } from "../dom.js";

const FORMATS = [
  ["coco", "COCO", "one JSON file; outlines as polygons", "polygons=1"],
  ["coco-rle", "COCO, run lengths", "one JSON file; exact to the pixel", "polygons=0"],
  ["yolo", "YOLO segmentation", "a text file an image"],
  ["labelme", "labelme", "a JSON file an image"],
  ["semantic", "PNG, semantic", "a label number in every pixel"],
  ["instance", "PNG, instance", "an object number in every pixel"],
  ["panoptic", "PNG, panoptic", "labels and objects, COCO panoptic"],
];

/** @param {any} app */
export function openExport(app) {
  const done = h("input", { type: "checkbox", onchange: () => aim() });
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
    link.href = `/api/export?format=${id.split("-")[0]}${more ? `&${more}` : ""}${done.checked ? "&done=1" : ""}`;
  };
  aim();
  openDialog(
    "Export and import",
    [
      form,
      h("div", { class: "row" }, h("label", { class: "check grow" }, done, "Only images that are done"), link),
      importer(app),
    ],
    { name: "export-dialog" },
  );
}

/** @param {any} app */
function importer({ annotator, gallery, store }) {
  const result = h("div", { role: "status" });
  const read = async (/** @type {File | undefined} */ file) => {
    if (!file) return;
    fill(result, h("p", null, `Reading ${file.name} …`));
    try {
      const answer = await post("/api/import?label_format=auto", new Blob([file]));
      fill(
        result,
        h(
          "p",
          null,
          `${answer.objects} objects in ${answer.images} images. Undo takes them away again, image by image.`,
        ),
        answer.skipped.length ? skipped(answer.skipped) : null,
      );
      await Promise.all([annotator.refreshProject(), gallery.loadList(), store.state.image?.refresh()]);
    } catch (error) {
      fill(result, h("p", { role: "alert", class: "trouble" }, /** @type {Error} */ (error).message));
    }
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
      "COCO JSON, labelme JSON, or a ZIP of labelme files: choose one or drop it here. Nothing is replaced.",
    ),
    file,
  );
  zone.addEventListener("dragover", (/** @type {DragEvent} */ event) => event.preventDefault());
  zone.addEventListener("drop", (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    read(event.dataTransfer?.files[0]);
  });
  return h("section", null, zone, result);
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
