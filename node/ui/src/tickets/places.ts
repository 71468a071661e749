/**
 * The places that a list may be narrowed to: a code once, whoever holds it, since the list is asked by code. Those that are
 * in the organisation no more come last: their tickets stay.
 */
import type { Sites } from '../api/types';
import type { Words } from '../locales/i18n.svelte';

export function places(t: Words, { items, ended }: Sites): { value: string; label: string }[] {
  const named = new Map(items.map((site) => [site.code, site.name]));
  for (const site of ended) if (!named.has(site.code)) named.set(site.code, t.list.ended_site(site.name, t.sync.left[site.why]));
  return [...named].map(([value, label]) => ({ value, label }));
}
