// Which images the list shows, and which candidates the image.

/** @typedef {{id: number, name: string, status: string, objects: number, labels?: (number | null)[], least?: number}} Entry */

/**
 * @param {Entry[]} images @param {string} words all must be in the name, in any order, upper or lower case
 * @param {string} status "all", one of the statuses, "empty", "unlabelled", a label's number, or "unsure"
 * @returns {Entry[]} in their order; "unsure": those with objects, by the score of their least sure one
 */
export function filtered(images, words, status) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const found = images.filter((image) => {
    if (!fits(image, status)) return false;
    const name = image.name.toLowerCase();
    return wanted.every((word) => name.includes(word));
  });
  return status === "unsure" ? found.sort((a, b) => Number(a.least) - Number(b.least)) : found;
}

/** @param {string} status of a filter @returns {boolean} whether one must know the images' objects for it */
export function byLabel(status) {
  return status === "unlabelled" || status === "unsure" || /^\d/.test(status);
}

/** @param {Entry} image @param {string} wanted */
function fits({ status, objects, labels, least }, wanted) {
  if (wanted === "all") return true;
  if (wanted === "empty") return !objects;
  if (wanted === "unsure") return Number.isFinite(least);
  if (!byLabel(wanted)) return status === wanted;
  return labels?.includes(wanted === "unlabelled" ? null : Number(wanted)) ?? false;
}

/** @param {Entry[]} images @returns {Record<string, number>} how many of every status, and "all" */
export function counts(images) {
  /** @type {Record<string, number>} */
  const sum = { all: images.length, todo: 0, doing: 0, done: 0, checked: 0, sent_back: 0, skipped: 0 };
  for (const { status } of images) sum[status] = (sum[status] ?? 0) + 1;
  return sum;
}

/** @param {{left: any[], least: number}} same @returns {any[]} what *Find the same* found that is similar enough */
export function likes({ left, least }) {
  return left.filter(({ score }) => score >= least);
}
