/** Every call of the contract that the page makes, by name. */
import { request } from './client';
import type {
  Adopted, Comment, Confirmation, Held, HistoryItem, Link, NewTicket, Ref, Replication, Session, SiteInfo, Sites, Sync, Ticket, TicketPage,
} from './types';

const V1 = '/api/v1';
const at = (id: string) => `${V1}/tickets/${encodeURIComponent(id)}`;

export const site = () => request<SiteInfo>('GET', `${V1}/site`);
export const session = () => request<Session>('GET', `${V1}/session`);
export const logIn = (login: string, password: string) =>
  request<{ user: Session['user'] }>('POST', `${V1}/sessions`, { body: { login, password } });
export const logOut = () => request<void>('DELETE', `${V1}/session`);

export const tickets = (query: URLSearchParams, signal?: AbortSignal) =>
  request<TicketPage>('GET', `${V1}/tickets?${query}`, { signal });
export const ticket = (id: string) => request<Ticket>('GET', at(id));
export const createTicket = (body: NewTicket, key: string) =>
  request<Ticket>('POST', `${V1}/tickets`, { body, headers: { 'idempotency-key': key } });
export const changeTicket = (id: string, body: Record<string, unknown>) => request<Ticket>('PATCH', at(id), { body });
export const moveTicket = (id: string, to: string, reason?: string) =>
  request<Ticket>('POST', `${at(id)}/transitions`, { body: reason ? { to, reason } : { to } });
export const comment = (id: string, body: string, visibility: string, key: string) =>
  request<Comment>('POST', `${at(id)}/comments`, { body: { body, visibility }, headers: { 'idempotency-key': key } });
export const confirm = (id: string, what: Confirmation) => request<Ticket>('POST', `${at(id)}/confirmations`, { body: what });
export const history = (id: string) => request<{ items: HistoryItem[] }>('GET', `${at(id)}/history`);
export const replication = (id: string) => request<Replication>('GET', `${at(id)}/replication`);

export type RefKind = 'people' | 'groups' | 'categories' | 'locations' | 'structures';
export const refs = (kind: RefKind, q: string, signal?: AbortSignal) =>
  request<{ items: Ref[] }>('GET', `${V1}/${kind}?${new URLSearchParams({ q, limit: '20' })}`, { signal });

export const sites = () => request<Sites>('GET', `${V1}/sites`);
export const sync = () => request<Sync>('GET', `${V1}/sync`);
export const acknowledge = (alarm: string) => request<void>('POST', `${V1}/alarms/${encodeURIComponent(alarm)}/acknowledgement`);
export const held = (from?: string) =>
  request<{ items: Held[]; next: string | null }>('GET', `${V1}/quarantine${from ? `?from=${from}` : ''}`);
export const unsent = () => request<{ items: Held[] }>('GET', `${V1}/unsent`);
export const adopt = (held: string) => request<Adopted>('POST', `${V1}/quarantine/${encodeURIComponent(held)}/adoption`);
export const discard = (held: string) => request<void>('POST', `${V1}/quarantine/${encodeURIComponent(held)}/discard`);
export const links = () => request<{ items: Link[] }>('GET', `${V1}/links`);
export const setLink = (code: string, up: boolean) =>
  request<void>('POST', `${V1}/links/${encodeURIComponent(code)}`, { body: { up } });
