/** Whether a key press is a single-key command: not inside a field or a dialog, and without a modifier. */
export function plainKey(event: KeyboardEvent): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
  const target = event.target;
  return !(target instanceof Element && target.closest('input, textarea, select, [contenteditable], dialog'));
}
