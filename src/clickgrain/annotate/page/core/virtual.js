// Which rows of a long list are on the screen.

/**
 * Rows to draw: those in sight and a few around them.
 * @param {number} count rows in the list @param {number} rowHeight pixels
 * @param {number} scrollTop pixels @param {number} height of the window in pixels @param {number} around extra rows
 * @returns {{first: number, last: number}} half-open range
 */
export function visibleRows(count, rowHeight, scrollTop, height, around = 4) {
  const first = Math.max(Math.floor(scrollTop / rowHeight) - around, 0);
  const last = Math.min(Math.ceil((scrollTop + height) / rowHeight) + around, count);
  return { first: Math.min(first, last), last };
}

/**
 * Where to scroll so that a row is in sight; the same place when it already is.
 * @param {number} row @param {number} rowHeight @param {number} scrollTop @param {number} height
 * @returns {number}
 */
export function scrollTo(row, rowHeight, scrollTop, height) {
  const top = row * rowHeight,
    bottom = top + rowHeight;
  if (top < scrollTop) return top;
  if (bottom > scrollTop + height) return bottom - height;
  return scrollTop;
}
