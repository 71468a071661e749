import { describe, expect, it } from 'vitest';
import { asked, FIRST_QUERY, format, parse } from '../src/shell/routes';

describe('addresses', () => {
  it('come back as they went', () => {
    for (const hash of ['#/tickets', '#/tickets?status=all&q=r%C3%A9seau&conflict=true&tainted=true', '#/tickets/PAR-1042', '#/tickets/PAR-1042/history', '#/new']) {
      expect(format(parse(hash))).toBe(hash);
    }
  });

  it('lead to the list when they mean nothing', () => {
    for (const hash of ['', '#', '#/', '#/unknown/place', '#/tickets/', '#/%']) expect(parse(hash).page).toBe('list');
    expect(parse('#/tickets/%E0%A4%A')).toMatchObject({ page: 'ticket' });
  });

  it('name only what differs from the first list', () => {
    expect(format({ page: 'list', query: FIRST_QUERY })).toBe('#/tickets');
  });
});

describe('what is asked of the node', () => {
  it('leaves out what does not filter', () => {
    expect(asked({ ...FIRST_QUERY, status: 'all', q: '  ' }, null, 50).toString()).toBe('sort=-updated&limit=50');
  });

  it('carries every filter and the cursor', () => {
    const params = asked({ status: 'open', assignee: 'me', site: 'DAK', q: 'vpn', conflict: true, tainted: true, sort: 'priority' }, 'c1', 20);
    expect(Object.fromEntries(params)).toEqual({ sort: 'priority', limit: '20', status: 'open', assignee: 'me', site: 'DAK', q: 'vpn', conflict: 'true', tainted: 'true', cursor: 'c1' });
  });
});
