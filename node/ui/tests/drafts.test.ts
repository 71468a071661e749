import { describe, expect, it } from 'vitest';
import { commentDraft, newKey, PAUSE_MS, readDraft, writeDraft } from '../src/tickets/drafts';
import { emptyForm, formDraft } from '../src/tickets/newForm';

function memory(limit = Infinity): Storage {
  const kept = new Map<string, string>();
  return {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => {
      if (value.length > limit) throw new Error('full');
      kept.set(key, value);
    },
    removeItem: (key: string) => void kept.delete(key),
    clear: () => kept.clear(),
    key: () => null,
    get length() {
      return kept.size;
    },
  };
}

const draft = { body: 'Bonjour', visibility: 'internal', key: 'ab', queued: true };

describe('drafts', () => {
  it('come back, for the same person and the same ticket only', () => {
    const storage = memory();
    expect(writeDraft(storage, 'u1', 't1', draft)).toBe(true);
    expect(readDraft(storage, 'u1', 't1', commentDraft)).toEqual(draft);
    expect(readDraft(storage, 'u2', 't1', commentDraft)).toBeNull();
    expect(readDraft(storage, 'u1', 't2', commentDraft)).toBeNull();
  });

  it('go away', () => {
    const storage = memory();
    writeDraft(storage, 'u1', 't1', draft);
    writeDraft(storage, 'u1', 't1', null);
    expect(storage.length).toBe(0);
  });

  it('say when they could not be kept', () => {
    expect(writeDraft(memory(3), 'u1', 't1', draft)).toBe(false);
    expect(writeDraft(undefined, 'u1', 't1', draft)).toBe(false);
    expect(readDraft(undefined, 'u1', 't1', commentDraft)).toBeNull();
  });

  it('are not misled by what else may be stored', () => {
    const storage = memory();
    storage.setItem('archipel.draft.u1.t1', '{broken');
    expect(readDraft(storage, 'u1', 't1', commentDraft)).toBeNull();
    expect(commentDraft({ body: 1 })).toBeNull();
    expect(commentDraft({ body: 'x', key: 'k', visibility: 'shouted' })?.visibility).toBe('public');
    expect(formDraft('text')).toBeNull();
    expect(formDraft({ title: 'x', key: 'k' })).toEqual({ ...emptyForm('k'), title: 'x' });
  });

  it('are saved within 300 ms of a pause, under keys of sixteen hex digits', () => {
    expect(PAUSE_MS).toBeLessThanOrEqual(300);
    expect(newKey()).toMatch(/^[0-9a-f]{16}$/);
  });
});
