import { describe, expect, it } from 'vitest';
import sources from '../../src/http/errors.rs?raw';
import documented from '../../../docs/errors.md?raw';
import { en } from '../src/locales/en';
import { fr } from '../src/locales/fr';

type Tree = Record<string, unknown>;

/** Every leaf of a catalogue by its path; functions are called with sample arguments, so that their words are read too. */
function leaves(tree: Tree, path = ''): [string, string][] {
  return Object.entries(tree).flatMap(([key, value]): [string, string][] => {
    const here = path ? `${path}.${key}` : key;
    if (typeof value === 'string') return [[here, value]];
    if (typeof value === 'function') {
      // The text of a number serves where a count is wanted and where a name is.
      const sample = here === 'and' ? ['A', 'B'] : /^(problems|alarms)\./.test(here) ? { seconds: 3 } : '3';
      const said = value(sample, 'B', 'C');
      return typeof said === 'string' ? [[here, said]] : leaves(said as Tree, here);
    }
    return leaves(value as Tree, here);
  });
}

const english = leaves(en as Tree);
const french = leaves(fr as Tree);

/** Words that are the same in both languages, on purpose. */
const SAME = [
  'product', 'list.title', 'list.columns.site', 'list.site', 'fields.impact', 'fields.description', 'fields.structure', 'fields.site',
  'fields.created', 'kinds.incident', 'ticket.description', 'link.via', 'list.ended_site', 'two.by', 'sync.by', 'list.total', 'stage.tickets',
];

describe('the two catalogues', () => {
  it('have the same keys', () => {
    expect(french.map(([key]) => key)).toEqual(english.map(([key]) => key));
  });

  it('leave no text empty', () => {
    for (const [key, text] of [...english, ...french]) expect(text, key).not.toBe('');
  });

  it('are translated', () => {
    const other = new Map(french);
    const same = english.filter(([key, text]) => other.get(key) === text && /\p{L}{2}/u.test(text)).map(([key]) => key);
    expect(same.filter((key) => !SAME.includes(key))).toEqual([]);
  });

  // A refusal of the command line that an API client meets too (a kit, an import) is not among these: the page asks for none.
  it('have words for every code that a desk answers with', () => {
    const rows = documented.slice(documented.indexOf('## HTTP')).matchAll(/^\| `([A-Z-]+)` \|/gm);
    const made = sources.matchAll(/Problem::new\(StatusCode::[A-Z_]+, "([A-Z-]+)"|Self::new\(StatusCode::[A-Z_]+, "([A-Z-]+)"/g);
    const codes = new Set([...[...rows].map((row) => row[1]!), ...[...made].map((code) => (code[1] ?? code[2])!)]);
    expect(codes.size, 'the catalogue was found').toBeGreaterThan(15);
    for (const words of [en, fr]) expect([...codes].filter((code) => !(code in words.problems))).toEqual([]);
  });

  it('keep the words of the engine to themselves', () => {
    const engine = /\b(nodes?|peers?|scopes?|epochs?|replicas?|digests?|crdt|n(œ|oe)uds?|pairs?|répliques?|époques?|conflits?|conflicts?)\b/iu;
    for (const [key, text] of [...english, ...french]) expect(text, key).not.toMatch(engine);
  });
});
