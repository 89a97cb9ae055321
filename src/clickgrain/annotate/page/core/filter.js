// Which images the list shows, and which candidates the image.

/** @typedef {{id: number, name: string, status: string, objects: number, labels?: (number | null)[]}} Entry */

/**
 * @param {Entry[]} images @param {string} words all must be in the name, in any order, upper or lower case
 * @param {string} status "all", one of the statuses, "empty", "unlabelled", or a label's number
 * @returns {Entry[]}
 */
export function filtered(images, words, status) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return images.filter((image) => {
    if (!fits(image, status)) return false;
    const name = image.name.toLowerCase();
    return wanted.every((word) => name.includes(word));
  });
}

/** @param {string} status of a filter @returns {boolean} whether one must know the images' labels for it */
export function byLabel(status) {
  return status === "unlabelled" || /^\d/.test(status);
}

/** @param {Entry} image @param {string} wanted */
function fits({ status, objects, labels }, wanted) {
  if (wanted === "all") return true;
  if (wanted === "empty") return !objects;
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
