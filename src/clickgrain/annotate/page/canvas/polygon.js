// The object in hand as a polygon: corners that are dragged, edges that give new ones.

import { strokeBoth } from "./marks.js";
import { rings, toSegment } from "../core/polygon.js";
import { pixel, toImage, toScreen } from "../core/geometry.js";

/** @typedef {import("../core/geometry.js").Point} Point */
/** @typedef {import("../core/polygon.js").Corner} Corner */

const NEAR = 10;
/** How far in pixels the polygon may leave the mask's outline. */
const TOLERANCE = 1.2;

export class Polygon {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** @type {{key: string, rings: Corner[][]}} */
    this.made = { key: "", rings: [] };
    /** Corner that is dragged. @type {{ring: number, place: number, moved: boolean} | null} */
    this.held = null;
  }

  get object() {
    const { image, store } = this.stage,
      { tool, active } = store.state;
    return tool === "polygon" ? image?.object(active) : undefined;
  }

  /** As they are seen: those of the last step where that is a polygon, else simplified from the mask. */
  get rings() {
    const { object, stage } = this,
      bits = object && stage.image?.bits(object.id),
      last = object?.steps.at(-1);
    if (!object || !bits) return [];
    const key = `${object.id} ${object.mask}`;
    if (key !== this.made.key && !this.held)
      this.made = { key, rings: last?.type === "polygon" ? structuredClone(last.rings) : rings(bits, TOLERANCE) };
    return this.made.rings;
  }

  /** What is under a screen point: a corner, or an edge by its first corner. @param {Point} at @returns {{ring: number, place: number, edge: boolean} | null} */
  under(at) {
    const { view } = this.stage;
    let best = null,
      least = NEAR;
    const seen = this.rings.map((ring) =>
      ring.map(([x, y]) => toScreen(view, { x, y })).map(({ x, y }) => /** @type {Corner} */ ([x, y])),
    );
    for (const edge of [false, true]) {
      seen.forEach((ring, i) =>
        ring.forEach((corner, place) => {
          const { distance } = toSegment([at.x, at.y], corner, edge ? ring[(place + 1) % ring.length] : corner);
          if (distance < least) [best, least] = [{ ring: i, place, edge }, distance];
        }),
      );
      if (best) return best;
    }
    return null;
  }

  /** @param {Point} at screen @param {PointerEvent} event */
  press(at, event) {
    const { stage, object } = this,
      { image, annotator } = stage;
    const found = object && !object.locked ? this.under(at) : null;
    if (!found) {
      const { x, y } = toImage(stage.view, at),
        owned = image && image.owners?.at(...Object.values(pixel({ x, y }, image.size)));
      return annotator.turn(() => (owned ? annotator.take(owned) : annotator.say("Click an object to see its corners.")));
    }
    const ring = this.made.rings[found.ring];
    if (event.button === 2) {
      if (found.edge || ring.length < 4) return undefined;
      ring.splice(found.place, 1);
      return this.#write();
    }
    const place = found.edge ? found.place + 1 : found.place;
    if (found.edge) ring.splice(place, 0, this.#corner(at));
    this.held = { ring: found.ring, place, moved: found.edge };
    stage.draw("top");
    return undefined;
  }

  /** @param {Point} at screen */
  drag(at) {
    const { held } = this;
    if (!held) return;
    held.moved = true;
    this.made.rings[held.ring][held.place] = this.#corner(at);
    this.stage.draw("top");
  }

  release() {
    const moved = this.held?.moved;
    this.held = null;
    if (moved) this.#write();
  }

  cancel() {
    if (this.held) this.made.key = "";
    this.held = null;
  }

  /** @param {Point} at screen @returns {Corner} */
  #corner(at) {
    const { view, image } = this.stage,
      { x, y } = toImage(view, at),
      within = (/** @type {number} */ value, /** @type {number} */ most) => Math.round(10 * Math.min(Math.max(value, 0), most)) / 10;
    return [within(x, image?.size.width ?? 0), within(y, image?.size.height ?? 0)];
  }

  /** One step holds all moves: taking it away brings the mask back as it was. */
  #write() {
    const { image, annotator } = this.stage,
      { object } = this,
      step = { type: "polygon", rings: structuredClone(this.made.rings) };
    if (!object) return;
    annotator.turn(async () => {
      if (this.stage.image !== image) return;
      const last = image?.object(object.id)?.steps.at(-1);
      if (last?.type === "polygon") await annotator.changeStep(last, step);
      else await annotator.addSteps([step]);
      this.stage.draw("top");
    });
  }

  draw() {
    const { stage } = this,
      { top, view, ratio, pointer } = stage,
      all = this.rings;
    if (!all.length) return;
    const under = pointer && !this.held ? this.under(pointer) : null,
      path = new Path2D();
    top.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const ring of all) {
      ring.forEach(([x, y], i) => {
        const at = toScreen(view, { x, y });
        path[i ? "lineTo" : "moveTo"](at.x, at.y);
      });
      path.closePath();
    }
    strokeBoth(top, path, "#ffd84a", 2, 1);
    all.forEach((ring, i) =>
      ring.forEach(([x, y], place) => {
        const at = toScreen(view, { x, y }),
          on = under && !under.edge && under.ring === i && under.place === place,
          side = on || (this.held?.ring === i && this.held.place === place) ? 11 : 7;
        top.fillStyle = "#fff";
        top.strokeStyle = "#0a0c10";
        top.lineWidth = 1.5;
        top.fillRect(at.x - side / 2, at.y - side / 2, side, side);
        top.strokeRect(at.x - side / 2, at.y - side / 2, side, side);
      }),
    );
  }
}
