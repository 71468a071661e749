/**
 * The addresses of the page, behind the `#`, so that any server of files can serve it and a reload stays in place.
 * Pure: text in, route out, and back.
 */
export interface Query {
  status: string;
  assignee: string;
  site: string;
  q: string;
  conflict: boolean;
  tainted: boolean;
  sort: string;
}

export type Route = { page: 'list'; query: Query } | { page: 'ticket'; key: string; tab: 'talk' | 'history' } | { page: 'new' };

export const FIRST_QUERY: Query = { status: 'open', assignee: '', site: '', q: '', conflict: false, tainted: false, sort: '-updated' };

export function parse(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#?\/?/, '').split('?', 2);
  const parts = path.split('/').filter(Boolean).map(decoded);
  if (parts[0] === 'new') return { page: 'new' };
  if (parts[0] === 'tickets' && parts[1]) return { page: 'ticket', key: parts[1], tab: parts[2] === 'history' ? 'history' : 'talk' };
  const asked = new URLSearchParams(search);
  return {
    page: 'list',
    query: {
      status: asked.get('status') ?? FIRST_QUERY.status,
      assignee: asked.get('assignee') ?? '',
      site: asked.get('site') ?? '',
      q: asked.get('q') ?? '',
      conflict: asked.get('conflict') === 'true',
      tainted: asked.get('tainted') === 'true',
      sort: asked.get('sort') ?? FIRST_QUERY.sort,
    },
  };
}

export function format(route: Route): string {
  if (route.page === 'new') return '#/new';
  if (route.page === 'ticket') return `#/tickets/${encodeURIComponent(route.key)}${route.tab === 'history' ? '/history' : ''}`;
  const asked = new URLSearchParams();
  for (const [key, value] of Object.entries(route.query)) {
    if (value !== FIRST_QUERY[key as keyof Query]) asked.set(key, String(value));
  }
  const search = asked.toString();
  return search ? `#/tickets?${search}` : '#/tickets';
}

/** What is asked of the node for a list: `all` is our own word for "no filter". */
export function asked(query: Query, cursor: string | null, limit: number): URLSearchParams {
  const params = new URLSearchParams({ sort: query.sort, limit: String(limit) });
  if (query.status !== 'all') params.set('status', query.status);
  if (query.assignee) params.set('assignee', query.assignee);
  if (query.site) params.set('site', query.site);
  if (query.q.trim()) params.set('q', query.q.trim());
  if (query.conflict) params.set('conflict', 'true');
  if (query.tainted) params.set('tainted', 'true');
  if (cursor) params.set('cursor', cursor);
  return params;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
