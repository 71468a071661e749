/** The places that a list may be narrowed to: a code once, whoever holds it, since the list is asked by code. */
import type { Site } from '../api/types';

export function places(sites: Site[]): { value: string; label: string }[] {
  const named = new Map(sites.map((site) => [site.code, site.name]));
  return [...named].map(([value, label]) => ({ value, label }));
}
