// Part, object, scene: walking the tree with the wheel, the slider or keys.

const REST_MS = 280;
const BLIND = 0.04;

export class Levels {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    /** @type {{object: number, level: number, x: number, y: number, place: number} | null} a level tried on the object in hand */
    this.tried = null;
    this.timer = 0;
  }

  /** Forget a level that was tried but not taken yet. */
  drop() {
    clearTimeout(this.timer);
    this.tried = null;
  }

  /**
   * Show the region of the level that is being tried.
   * @param {import("../image.js").OpenImage} image @param {import("./hover.js").Hover} hover @returns {boolean} whether there is one
   */
  preview(image, hover) {
    if (!this.tried || this.tried.place < 0 || !image.tree) return false;
    hover.look(image.tree, this.tried.x, this.tried.y, this.tried.level);
    return true;
  }

  /** The step of the object in hand that took a region, when the object is that region and nothing else. */
  #region() {
    const { image } = this.stage,
      object = image?.object(this.stage.store.state.active);
    const only = object?.steps.filter((step) => step.type !== "level");
    return object && only?.length === 1 && only[0].type === "region"
      ? { object, step: only[0], place: object.steps.indexOf(only[0]) }
      : null;
  }

  /** @returns {number} what the slider shows */
  now() {
    const { level, active } = this.stage.store.state;
    const object = this.stage.image?.object(active);
    return this.tried?.level ?? object?.level ?? level;
  }

  /** @param {number} direction 1 larger, -1 smaller */
  walk(direction) {
    const { image, hover, store } = this.stage,
      region = this.#region();
    if (!image) return;
    if (store.state.active === null) {
      const node = image.tree && hover.node >= 0 ? image.tree.step(hover.leaf, hover.node, direction) : -1;
      this.set(node >= 0 && image.tree ? image.tree.level(node) : store.state.level + BLIND * direction);
    } else if (region && image.tree) {
      const { tree } = image,
        leaf = tree.leafAt(region.step.x, region.step.y);
      const node = tree.nodeAt(leaf, this.tried?.level ?? region.step.level);
      this.set(tree.level(tree.step(leaf, node, direction)));
    } else this.set(this.now() + BLIND * direction);
  }

  /** @param {number} wanted level, for the object in hand or for hovering */
  set(wanted) {
    const { store } = this.stage,
      level = Math.min(Math.max(wanted, 0), 1),
      { active } = store.state;
    store.set({ level });
    this.#tell(level);
    if (active === null) return;
    const region = this.#region();
    this.tried = { object: active, level, x: region?.step.x, y: region?.step.y, place: region ? region.place : -1 };
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.stage.annotator.turn(() => this.settle(), false), REST_MS);
    this.stage.draw("look", "top");
  }

  /** @param {number} level */
  #tell(level) {
    this.stage.draw("look", "top");
    requestAnimationFrame(() => {
      const share = this.stage.hover.share();
      this.stage.annotator.say(
        `Level ${level.toFixed(2)}${share ? `, ${(100 * share).toFixed(share < 0.1 ? 1 : 0)} % of the image` : ""}`,
      );
    });
  }

  /** Take the level that was tried, now: before anything else that the user does. */
  settle() {
    clearTimeout(this.timer);
    return this.tried ? this.#take() : undefined;
  }

  async #take() {
    const { annotator, image, store } = this.stage,
      { tried } = this;
    const object = image?.object(store.state.active);
    if (!tried || !object || object.id !== tried.object) return this.drop();
    const last = object.steps.at(-1);
    const region = object.steps[tried.place];
    if (region) await annotator.changeStep(region, { ...region, level: tried.level });
    else if (last?.type === "level") await annotator.changeStep(last, { type: "level", level: tried.level });
    else await annotator.addSteps([{ type: "level", level: tried.level }]);
    if (this.tried === tried) this.tried = null;
    this.stage.draw("look", "top");
    return undefined;
  }
}
