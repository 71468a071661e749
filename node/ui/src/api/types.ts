/** The shapes of the HTTP contract. A value the page does not know yet stays a plain string and is shown as it is. */

export interface Ref { id: string; label: string }
export interface Place { code: string; name: string }
export interface Site extends Place { id: string }

/** A site that is in the organisation no more, and since when. */
export interface EndedSite extends Site { why: 'revoked' | 'retired'; since?: string | null }
export interface Sites { items: Site[]; ended: EndedSite[] }

export interface SiteInfo { organisation: string; site: Site; languages: string[]; demo: boolean }
export interface User { id: string; person: string; login: string; name: string; role: string }
export interface Session { user: User; site: Site }

export interface Summary {
  id: string;
  number: string;
  kind: string;
  title: string;
  status: string;
  priority: number;
  impact: string | null;
  urgency: string | null;
  category: Ref | null;
  requester: Ref | null;
  assignee: Ref | null;
  group: Ref | null;
  location: Ref | null;
  structure: Ref | null;
  site: Place;
  created_at: string;
  updated_at: string;
  conflicts: number;
  /** Fields, replies and notes that come from changes that do not stand. */
  taints: number;
}

export interface Comment { id: string; visibility: string; body: string; author: Ref | null; site: Place; at: string; tainted: boolean; clock_in_doubt: boolean }
export interface OneValue { value: unknown; label: string | null; author: Ref | null; site: Place; at: string; working: boolean }
export interface TwoValues { field: string; values: OneValue[] }

export interface Ticket extends Summary {
  description: string;
  priority_by_hand: boolean;
  status_reason?: string | null;
  external?: string | null;
  /** The number that it had at another site before somebody adopted it. */
  adopted_from?: string | null;
  reopen_count: number;
  comments: Comment[];
  conflict_list: TwoValues[];
  tainted: TaintedValue[];
  transitions_allowed: string[];
}

/** A field that shows what a change put there that does not stand; `created`: all that the opening of the ticket filled. */
export interface TaintedValue { field: string; before: string | null; label: string | null }

/** What somebody says is right: such a field, or a reply or note by its id. */
export type Confirmation = { field: string } | { comment: string };

export interface TicketPage { items: Summary[]; total: number; next_cursor: string | null }

export interface HistoryItem {
  change?: string;
  at: string;
  author: Ref | null;
  site: Place;
  field: string;
  before?: string | null;
  after?: string | null;
  source?: { at: string; author: Ref | string | null } | null;
  tainted?: boolean;
  clock_in_doubt?: boolean;
}

export interface Replication {
  received_at?: string | null;
  from?: string | null;
  sites: (Place & { state: string })[];
}

export interface PeerShare { id: string; label: string; records: number; digest: string }
export interface Peer {
  site: Site;
  connected: boolean;
  path: string;
  via?: Place | null;
  since?: string | null;
  last_contact?: string | null;
  to_send: number;
  to_receive: number;
  scopes: PeerShare[];
}
export interface Alarm { id: string; acknowledged: boolean; code: string; params: Params; at: string; words?: string }
export interface Sync {
  site: Place;
  alone_since?: string | null;
  ended?: 'revoked' | 'retired' | null;
  peers: Peer[];
  alarms: Alarm[];
  held: number;
  in_doubt: number;
  catching_up: number;
}

export interface Held {
  /** Absent for what is not held: what this site alone is known to have. */
  id?: string | null;
  site: Place;
  author?: Ref | null;
  at: string;
  state: string;
  reason: string;
  label?: string | null;
  /** `id`: the ticket as it stands here; without one it is held itself. */
  ticket?: { id?: string | null; number: string; title: string } | null;
  changes: { field: string; value?: string | null; label?: string | null }[];
  adoptable: boolean;
  discardable: boolean;
}
/** The tickets that an adoption made or changed. */
export interface Adopted { tickets: { id: string; number: string; title: string }[] }
export interface Link { site: Site; up: boolean }

export type Params = Record<string, string | number | boolean | null | undefined>;

/** What the node says over the WebSocket: that something changed, never what it is now. */
export type Event = { type: 'hello' } | { type: 'sync' } | { type: 'changed'; kind: string; id?: string };

/** The body of a new ticket: references are ids. */
export interface NewTicket {
  title: string;
  description: string;
  kind?: string;
  impact?: string;
  urgency?: string;
  category?: string;
  requester?: string;
  assignee?: string;
  group?: string;
  location?: string;
}
