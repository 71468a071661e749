// What the node is sent when one of two values is kept, and what people read for a value.
import type { Words } from '../locales/i18n.svelte';
import { word } from '../locales/word';

const REFERENCES = ['category', 'assignee', 'group', 'location', 'requester'];

/** The value as a ticket's PATCH takes it, and as the page shows it until the answer comes. */
export function kept(field: string, value: unknown, label: string): { sent: unknown; shown: unknown } {
  if (value === undefined || value === null || value === '') return { sent: null, shown: null };
  // Values to settle come as texts; the node takes a priority as a number.
  if (field === 'priority') return { sent: Number(value), shown: Number(value) };
  if (REFERENCES.includes(field)) return { sent: value, shown: { id: String(value), label } };
  return { sent: value, shown: value };
}

const WORDS: Record<string, 'impacts' | 'urgencies' | 'priorities' | 'statuses' | 'kinds'> = {
  impact: 'impacts', urgency: 'urgencies', priority: 'priorities', status: 'statuses', kind: 'kinds',
};

/** The name of a field, and a value of it, as people read them: `label` where the page has no words of its own. */
export function told(t: Words, field: string, value: string | null | undefined, label?: string | null): { field: string; value: string } {
  const [head = '', rest = ''] = field.split('/');
  const list = wordsOf(field);
  const none = field === 'priority' ? t.ticket.computed : t.history.nothing;
  const name = head === 'comment' ? word(t.visibilities, rest || 'public') : word(t.fields, head);
  if (value === null || value === undefined || value === '') return { field: name, value: none };
  return { field: name, value: list ? word(t[list], value) : (label ?? value) };
}

/** What people read where a field holds nothing to choose: a priority is computed then. */
export function nothing(t: Words, field: string): string {
  return field === 'priority' ? t.ticket.computed : t.two.empty;
}

/** The list of the page's own words for the values of a field, if it has one. */
export function wordsOf(field: string): (typeof WORDS)[string] | undefined {
  return WORDS[field];
}
