// How much work the objects were: the clicks and seconds of the real user.

import { get } from "../api.js";
import { tile } from "./learn.js";
import { SOURCES } from "../panels/objects.js";
import { openDialog } from "./frame.js";
import { fill, h } from "../dom.js";

/** @param {any} _app */
export async function openStatistics(_app) {
  const body = h("div", { class: "statistics" }, h("p", { role: "status" }, "Counting …"));
  openDialog("Statistics", body, { wide: true, name: "statistics-dialog" });
  try {
    show(body, await get("/api/statistics"));
  } catch (error) {
    fill(body, h("p", { role: "alert" }, /** @type {Error} */ (error).message));
  }
}

/** @param {HTMLElement} body @param {any} all */
function show(body, all) {
  if (!all.objects)
    return fill(body, h("p", null, "No objects yet. Every object's clicks and seconds will be counted here."));
  const number = (/** @type {number | null} */ value, digits = 1) => (value === null ? "–" : value.toFixed(digits));
  return fill(
    body,
    h(
      "div",
      { class: "tiles" },
      tile(String(all.objects), `objects in ${all.images} ${all.images === 1 ? "image" : "images"}`),
      tile(String(all.prompted), "of them made by hand"),
      tile(number(all.clicks.mean), "clicks an object, mean"),
      tile(number(all.clicks.median, 0), "clicks, median"),
      tile(number(all.seconds.mean), "seconds an object, mean"),
      tile(duration(all.seconds.total), "of work in all"),
    ),
    h("h3", null, "Clicks that objects made by hand took"),
    bars(all.histogram),
    table(
      "By source",
      ["Source", "Objects"],
      Object.entries(all.sources).map(([source, objects]) => [SOURCES[source] || "by hand", objects]),
    ),
    table(
      "By label",
      ["Label", "Objects", "Clicks, mean", "Seconds, mean"],
      all.labels.map((/** @type {any} */ row) => [row.name ?? "No label", row.objects, row.clicks, row.seconds]),
    ),
    all.models.length > 1
      ? table(
          "By model",
          ["Model", "Objects", "Clicks, mean", "Seconds, mean"],
          all.models.map((/** @type {any} */ row) => [row.name, row.objects, row.clicks, row.seconds]),
        )
      : null,
    all.people.length
      ? table(
          "By person",
          ["Person", "Objects", "Clicks, mean", "Seconds, mean", "Done", "Checked", "Sent back"],
          all.people.map((/** @type {any} */ row) =>
            [row.name, row.objects, row.clicks, row.seconds, row.done, row.checked, row.sent_back]),
        )
      : null,
    all.agreement.length
      ? table(
          "Agreement on images that both worked on",
          ["People", "Images", "Kept", "Corrected", "IoU, %", "Drawn again", "IoU, %", "Only one has", "Same label, %"],
          all.agreement.map(agreement),
        ).concat(
          table(
            "Objects of least agreement",
            ["Image", "People", "What", "IoU, %", "Objects", "Labels"],
            all.least_agreement.map(least),
          ),
          h("p", null, h("a", { class: "button", href: "/api/agreement", download: "agreement.csv" }, "All pairs, as CSV")),
        )
      : null,
    all.days.length > 1
      ? table(
          "By day",
          ["Day", "Objects", "Seconds"],
          all.days.map((/** @type {any} */ row) => [row.day, row.objects, row.seconds]),
        )
      : null,
  );
}

/** @param {any} row of two people @returns {any[]} its cells */
function agreement({ people, images, kept, corrected, drawn_again: again, alone, labels }) {
  const percent = (/** @type {number | null} */ share) => (share === null ? null : 100 * share);
  const cells = [corrected.objects, percent(corrected.iou), again.objects, percent(again.iou)];
  return [people.join(", then "), images, kept, ...cells, alone.join(" + "), percent(labels)];
}

/** @param {any} pair an object of two people, or of one alone @returns {any[]} its cells */
function least({ image, first, second, how, iou, ...of }) {
  const both = (/** @type {string} */ what) => [of[`first_${what}`], of[`second_${what}`]].map((one) => one ?? "–");
  const alone = { "first only": `${first} only`, "second only": `${second} only` }[how];
  return [image, `${first}, then ${second}`, alone ?? how, 100 * iou, both("object").join(", "), both("label").join(", ")];
}

/** @param {number} seconds */
function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** @param {number[]} histogram objects with 0, 1, 2 ... clicks */
function bars(histogram) {
  const last = histogram.findLastIndex((count) => count > 0),
    shown = histogram.slice(0, Math.max(last + 1, 6)),
    most = Math.max(...shown, 1);
  return h(
    "div",
    { class: "bars", role: "img", "aria-label": shown.map((count, i) => `${count} with ${i}`).join(", ") },
    shown.map((count, i) =>
      h(
        "div",
        { class: "bar" },
        h("span", { class: "quiet" }, count || ""),
        h("i", { style: { height: `${Math.max((90 * count) / most, count ? 3 : 0)}px` } }),
        h("span", null, i === 20 ? "20+" : String(i)),
      ),
    ),
  );
}

/** @param {string} title @param {string[]} head @param {any[][]} rows */
function table(title, head, rows) {
  const cell = (/** @type {any} */ value) =>
    typeof value === "number" && !Number.isInteger(value) ? value.toFixed(1) : String(value ?? "–");
  return [
    h("h3", null, title),
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        null,
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            head.map((each) => h("th", { scope: "col" }, each)),
          ),
        ),
        h(
          "tbody",
          null,
          rows.map((row) =>
            h(
              "tr",
              null,
              row.map((value, i) => h(i ? "td" : "th", i ? null : { scope: "row" }, cell(value))),
            ),
          ),
        ),
      ),
    ),
  ];
}
