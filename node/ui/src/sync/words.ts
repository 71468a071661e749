/** What the state of the links and the held changes mean for a person; the words themselves are in the catalogues. */
import type { Held, Peer, Sync } from '../api/types';
import type { Words } from '../locales/i18n.svelte';
import { told } from '../tickets/settle';

export type LinkState =
  | { kind: 'single' }
  | { kind: 'ended'; how: 'revoked' | 'retired' }
  | { kind: 'all' }
  | { kind: 'alone'; since: string | null }
  | { kind: 'some'; cut: string[]; via: { site: string; via: string }[] };

/** Whether changes pass between here and that site, by whatever way. */
export function reachable(peer: Peer): boolean {
  return peer.connected || peer.path === 'via';
}

export function linkState(sync: Sync): LinkState {
  if (sync.ended) return { kind: 'ended', how: sync.ended };
  if (sync.peers.length === 0) return { kind: 'single' };
  if (!sync.peers.some(reachable)) return { kind: 'alone', since: sync.alone_since ?? null };
  const cut = sync.peers.filter((peer) => !reachable(peer)).map((peer) => peer.site.name);
  const via = sync.peers
    .filter((peer) => peer.path === 'via')
    .map((peer) => ({ site: peer.site.name, via: peer.via?.name ?? '…' }));
  return cut.length === 0 && via.length === 0 ? { kind: 'all' } : { kind: 'some', cut, via };
}

/**
 * How many changes of this site some other site still lacks. One change waiting for two sites is one change,
 * so the longest queue counts, not the sum.
 */
export function toSend(sync: Sync): number {
  return Math.max(0, ...sync.peers.map((peer) => peer.to_send));
}

export function toReceive(sync: Sync): number {
  return Math.max(0, ...sync.peers.map((peer) => peer.to_receive));
}

/** Why a change is held: in words where there are some for the reason, else by its state. */
export function heldFor(t: Words, held: Held): string {
  const states: Record<string, string> = { waiting: t.sync.waiting, void: t.sync.void, beyond: t.sync.beyond };
  return (t.reasons as Record<string, string>)[held.reason] ?? `${states[held.state] ?? held.state} (${held.reason})`;
}

/** What a held change would do, a line for each field. */
export function changed(t: Words, held: Held): string[] {
  return held.changes.map((one) => {
    if (one.field === 'created') return t.list.new;
    const { field, value } = told(t, one.field, one.value, one.label);
    return t.sync.change(field, value);
  });
}
