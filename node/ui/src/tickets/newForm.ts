/** The form of a new ticket as it is kept between two looks at it. */
import type { Ref } from '../api/types';

export interface Form {
  title: string;
  description: string;
  kind: string;
  impact: string;
  urgency: string;
  refs: Partial<Record<'requester' | 'assignee' | 'group' | 'category' | 'location', Ref | null>>;
  /** Sent along, so that the same form tried twice is one ticket. */
  key: string;
  queued: boolean;
}

export function emptyForm(key: string): Form {
  return { title: '', description: '', kind: 'incident', impact: 'medium', urgency: 'medium', refs: {}, key, queued: false };
}

/** A kept form, or nothing when what is stored does not look like one. */
export function formDraft(value: unknown): Form | null {
  if (typeof value !== 'object' || value === null) return null;
  const kept = value as Partial<Form>;
  if (typeof kept.title !== 'string' || typeof kept.key !== 'string') return null;
  return { ...emptyForm(kept.key), ...kept, refs: kept.refs ?? {} };
}
