/** Which rows of a long list stand in the page: those in view and a few around them. Rows are equally high. */
export interface Slice { from: number; to: number; before: number; after: number }

const AROUND = 8;

export function slice(count: number, rowHeight: number, scrollTop: number, height: number): Slice {
  const from = Math.max(0, Math.min(count, Math.floor(scrollTop / rowHeight) - AROUND));
  const to = Math.max(from, Math.min(count, Math.ceil((scrollTop + height) / rowHeight) + AROUND));
  return { from, to, before: from * rowHeight, after: (count - to) * rowHeight };
}

/** The scroll position that brings a row wholly into view, moving as little as possible. */
export function into(index: number, rowHeight: number, scrollTop: number, height: number): number {
  const top = index * rowHeight;
  if (top < scrollTop) return top;
  if (top + rowHeight > scrollTop + height) return top + rowHeight - height;
  return scrollTop;
}
