import { describe, expect, it } from 'vitest';
import { toProblem } from '../src/api/client';
import { pauseAfter } from '../src/api/pause';
import type { Held, Peer, Sync } from '../src/api/types';
import { en } from '../src/locales/en';
import { fr } from '../src/locales/fr';
import { cable, middle, path, severed } from '../src/stage/curve';
import { frameAddress, homeOf } from '../src/stage/frames';
import { changed, heldFor, linkState, toSend } from '../src/sync/words';
import { arrival } from '../src/tickets/arrival';
import { columns } from '../src/tickets/columns';
import { places } from '../src/tickets/places';
import { kept } from '../src/tickets/settle';
import { into, slice } from '../src/tickets/window';

const peer = (name: string, change: Partial<Peer> = {}): Peer => ({
  site: { id: name, code: name, name }, connected: true, path: 'direct', to_send: 0, to_receive: 0, scopes: [], ...change,
});
const sync = (peers: Peer[], alone_since: string | null = null): Sync => ({
  site: { code: 'PAR', name: 'Paris' }, alone_since, peers, alarms: [], held: 0, in_doubt: 0, catching_up: 0,
});

describe('the state of the links', () => {
  const cut = { connected: false, path: 'none' };
  it('is told in four ways', () => {
    expect(linkState(sync([]))).toEqual({ kind: 'single' });
    expect(linkState(sync([peer('Dakar')]))).toEqual({ kind: 'all' });
    expect(linkState(sync([peer('Dakar', cut)], '14:02'))).toEqual({ kind: 'alone', since: '14:02' });
    const via = peer('Dakar', { connected: false, path: 'via', via: { code: 'MTL', name: 'Montréal' } });
    expect(linkState(sync([via, peer('Montréal'), peer('Lagos', cut)]))).toEqual({ kind: 'some', cut: ['Lagos'], via: [{ site: 'Dakar', via: 'Montréal' }] });
  });

  it('promises nothing at a site that is in the organisation no more', () => {
    expect(linkState({ ...sync([], '14:02'), ended: 'revoked' })).toEqual({ kind: 'ended', how: 'revoked' });
    expect(linkState({ ...sync([peer('Dakar', cut)], '14:02'), ended: 'retired' })).toEqual({ kind: 'ended', how: 'retired' });
  });

  it('counts a change that waits for two sites once', () => {
    expect(toSend(sync([peer('Dakar', { to_send: 37 }), peer('Montréal', { to_send: 30 })]))).toBe(37);
    expect(toSend(sync([]))).toBe(0);
  });
});

describe('where a ticket has arrived', () => {
  const at = (...states: string[]) => arrival({ sites: states.map((state, n) => ({ code: `S${n}`, name: `S${n}`, state })) });
  it('counts this site without naming it', () => {
    expect(at()).toEqual({ kind: 'here' });
    expect(at('has'), 'the other one of two sites').toEqual({ kind: 'everywhere' });
    expect(at('has', 'has')).toEqual({ kind: 'everywhere' });
    expect(at('waiting', 'has', 'unknown')).toEqual({ kind: 'some', has: ['S1'], waiting: ['S0'], unknown: ['S2'] });
    expect(at('unknown')).toEqual({ kind: 'some', has: [], waiting: [], unknown: ['S0'] });
  });
});

describe('the places to narrow a list to', () => {
  it('name a code once, also where a machine took the place of another', () => {
    const sites = [{ id: 'a', code: 'DAK', name: 'Dakar' }, { id: 'b', code: 'PAR', name: 'Paris' }, { id: 'c', code: 'DAK', name: 'Dakar' }];
    expect(places(en, { items: sites, ended: [] })).toEqual([{ value: 'DAK', label: 'Dakar' }, { value: 'PAR', label: 'Paris' }]);
  });
  it('still name those that are in the organisation no more, whose tickets stay', () => {
    const items = [{ id: 'b', code: 'PAR', name: 'Paris' }];
    const ended = [{ id: 'a', code: 'DAK', name: 'Dakar', why: 'revoked' as const }];
    expect(places(fr, { items, ended })).toEqual([{ value: 'PAR', label: 'Paris' }, { value: 'DAK', label: 'Dakar (clé révoquée)' }]);
  });
});

describe('a lost connection', () => {
  it('is tried again after 0.25 to 3 s', () => {
    expect(pauseAfter(0, 1)).toBe(250);
    expect(pauseAfter(20, 1)).toBe(3000);
    expect(pauseAfter(3, 0)).toBeLessThan(pauseAfter(3, 1));
  });
});

describe('a problem', () => {
  it('keeps its code and words, and needs neither', () => {
    expect(toProblem(409, { code: 'X', params: { a: 1 }, safe: 's' })).toMatchObject({ code: 'X', status: 409, params: { a: 1 }, words: { safe: 's' } });
    expect(toProblem(500, '<html>')).toMatchObject({ code: 'HTTP-500', params: {} });
  });
});

describe('the window on a long list', () => {
  it('holds few rows and keeps the height', () => {
    const part = slice(10_000, 44, 220_000, 600);
    expect(part.to - part.from).toBeLessThan(40);
    expect(part.before + (part.to - part.from) * 44 + part.after).toBe(440_000);
    expect(slice(3, 44, 5000, 600)).toMatchObject({ to: 3, after: 0 });
    expect(slice(0, 44, 0, 600)).toEqual({ from: 0, to: 0, before: 0, after: 0 });
  });

  it('moves no more than it must', () => {
    expect(into(0, 44, 100, 600)).toBe(0);
    expect(into(5, 44, 0, 600)).toBe(0);
    expect(into(20, 44, 0, 600)).toBe(21 * 44 - 600);
  });

  it('drops columns when it is narrow', () => {
    expect(columns(1280)).toHaveLength(8);
    expect(columns(800).map((column) => column.name)).not.toContain('requester');
  });
});

describe('the stage', () => {
  it('hangs its cables as deep as asked and leaves a gap in a cut one', () => {
    const curve = cable({ x: 0, y: 10 }, { x: 100, y: 10 }, 60);
    expect(middle(curve)).toEqual({ x: 50, y: 70 });
    const [left, right] = severed(curve, 0.4);
    expect(right[0].x - left[3].x).toBeGreaterThan(20);
    expect(path(curve)).toMatch(/^M0\.0 10\.0C/);
  });

  it('shows each site under its own name', () => {
    expect(homeOf('http://paris.localhost:8101', 'archipel.localhost')).toBe('http://paris.archipel.localhost:8101/');
    expect(homeOf('http://127.0.0.1:8101/x?y', 'archipel.localhost')).toBe('http://127.0.0.1:8101/');
    expect(frameAddress('PAR', 'http://a.localhost:1', 'http://a.b.localhost:1/auth?token=T', undefined, 'b.localhost')).toContain('token=T');
  });
});

describe('a held change', () => {
  const held = (...changes: Held['changes']): Held => ({
    id: '00', site: { code: 'DAK', name: 'Dakar' }, at: '', state: 'beyond', reason: 'beyond-cut', changes, adoptable: true, discardable: true,
  });
  it('says why it is held without the code of the reason, where there are words for that', () => {
    expect(heldFor(en, held())).toBe(en.reasons['beyond-cut']);
    expect(heldFor(fr, { ...held(), state: 'void', reason: 'not-its-item' })).toBe('Non reprise (not-its-item)');
  });
  it('says what it would do, in the words of the reader', () => {
    const birth = held({ field: 'created', value: 'DAK-1', label: 'DAK-1' }, { field: 'impact', value: 'high', label: 'high' });
    expect(changed(en, birth)).toEqual(['New ticket', 'Impact: High']);
    expect(changed(fr, birth)).toEqual(['Nouveau ticket', 'Impact\u00a0: Fort']);
    const fields = held({ field: 'assignee', value: 'a1', label: 'Awa' }, { field: 'priority' }, { field: 'comment/internal', value: 'x', label: 'x' }, { field: 'comment', value: 'y' });
    expect(changed(en, fields)).toEqual(['Assignee: Awa', 'Priority: computed', 'Internal note: x', 'Public reply: y']);
  });
});

describe('one of two values that is kept', () => {
  it('is sent in the form that the node takes', () => {
    expect(kept('priority', '4', 'P4')).toEqual({ sent: 4, shown: 4 });
    expect(kept('urgency', 'high', 'High')).toEqual({ sent: 'high', shown: 'high' });
    expect(kept('assignee', 'a1', 'Awa')).toEqual({ sent: 'a1', shown: { id: 'a1', label: 'Awa' } });
    for (const none of [null, undefined, '']) expect(kept('priority', none, '')).toEqual({ sent: null, shown: null });
  });
});
