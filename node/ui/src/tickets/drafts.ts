/**
 * What somebody is writing, kept in the browser under the person and the ticket: it outlives a reload,
 * a crash of the browser and a restart of the node. Pure but for the storage, which is an argument.
 */
export interface Draft {
  body: string;
  visibility: string;
  /** Sent along, so that the same text tried twice is one comment. */
  key: string;
  /** The reader pressed "send" while the node was away. */
  queued: boolean;
}

/** Well under the 300 ms within which a pause must have saved. */
export const PAUSE_MS = 150;

const name = (person: string, about: string) => `archipel.draft.${person}.${about}`;

export function readDraft<T>(storage: Storage | undefined, person: string, about: string, shape: (value: unknown) => T | null): T | null {
  const text = storage?.getItem(name(person, about));
  if (!text) return null;
  try {
    return shape(JSON.parse(text));
  } catch {
    return null;
  }
}

/** Writes the draft, or takes it away when there is none; a full or forbidden storage answers `false`. */
export function writeDraft(storage: Storage | undefined, person: string, about: string, draft: unknown): boolean {
  try {
    if (draft === null) storage?.removeItem(name(person, about));
    else storage?.setItem(name(person, about), JSON.stringify(draft));
    return storage !== undefined;
  } catch {
    return false;
  }
}

export function commentDraft(value: unknown): Draft | null {
  if (typeof value !== 'object' || value === null) return null;
  const { body, visibility, key, queued } = value as Partial<Draft>;
  if (typeof body !== 'string' || typeof key !== 'string') return null;
  return { body, key, visibility: visibility === 'internal' ? 'internal' : 'public', queued: queued === true };
}

/** Sixteen random hex digits, as the contract asks. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The browser's storage, when it lets us. */
export function browserStorage(): Storage | undefined {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
}
