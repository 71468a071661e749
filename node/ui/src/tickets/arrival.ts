/** Where a ticket has arrived, as plain facts; the words themselves are in the catalogues. */
import type { Replication } from '../api/types';

export type Arrival =
  /** There is no other site, or none that this one may tell. */
  | { kind: 'here' }
  | { kind: 'everywhere' }
  | { kind: 'some'; has: string[]; waiting: string[]; unknown: string[] };

/** `sites` names the others only: this site has what it shows. */
export function arrival({ sites }: Replication): Arrival {
  if (sites.length === 0) return { kind: 'here' };
  if (sites.every((site) => site.state === 'has')) return { kind: 'everywhere' };
  const named = (state: string) => sites.filter((site) => site.state === state).map((site) => site.name);
  return { kind: 'some', has: named('has'), waiting: named('waiting'), unknown: named('unknown') };
}
