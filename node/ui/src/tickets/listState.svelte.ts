/**
 * The rows of the list. It lives longer than the page that shows it, so that the way back from a ticket is instant.
 * At the top of the list changes come in by themselves; further down they wait behind a button, so that nothing moves
 * under the reader's eyes, and only the rows already shown are renewed.
 */
import * as calls from '../api/calls';
import { asProblem, type Problem } from '../api/client';
import { live } from '../api/live';
import { reach } from '../api/reach.svelte';
import type { Summary } from '../api/types';
import { desk } from '../shell/desk.svelte';
import { asked, FIRST_QUERY, format, type Query } from '../shell/routes';

const PAGE = 50;
/** A burst of changes, as after a cut, is shown in steps that an eye can follow. */
const STEP_MS = 300;
const FLASH_MS = 1800;
/** Beyond this many changed rows, a button costs less than asking for each. */
const RENEW_AT_MOST = 12;

class ListState {
  items = $state.raw<Summary[]>([]);
  total = $state(0);
  next = $state.raw<string | null>(null);
  problem = $state.raw<Problem | null>(null);
  /** Whether the first answer for this query has come. */
  ready = $state(false);
  flashing = $state.raw<ReadonlySet<string>>(new Set());
  /** Changes that wait for the reader to ask for them. */
  fresh = $state(0);
  activeId = $state<string | null>(null);
  atTop = true;
  scrollTop = 0;

  #query: Query = FIRST_QUERY;
  #shown = '';
  #asking: AbortController | undefined;
  #loadingMore = false;
  #changed = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    live.on((event) => {
      if (event.type === 'changed' && event.kind === 'ticket' && event.id) this.#noticeChange(event.id);
      // After a gap in the connection anything may have changed.
      if (event.type === 'hello' && this.ready) this.#noticeChange('');
    });
    reach.onBack(() => {
      if (this.problem?.away) void this.reload();
    });
  }

  async show(query: Query): Promise<void> {
    const name = `${desk.user?.id} ${format({ page: 'list', query })}`;
    this.#query = query;
    if (name !== this.#shown) {
      this.#shown = name;
      this.scrollTop = 0;
      this.atTop = true;
      this.activeId = null;
      this.flashing = new Set();
      await this.reload(false);
    } else {
      await this.reload(this.ready);
    }
  }

  /** Reads the first page again; with `compare`, rows that changed light up. */
  async reload(compare = true): Promise<void> {
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    try {
      const page = await calls.tickets(asked(this.#query, null, PAGE), asking.signal);
      if (compare && !this.atTop && this.items.length > PAGE) {
        this.fresh = Math.max(this.fresh, 1);
        return;
      }
      if (compare) this.#flash(page.items);
      this.items = page.items;
      this.total = page.total;
      this.next = page.next_cursor;
      this.problem = null;
      this.fresh = 0;
      this.ready = true;
    } catch (caught) {
      const problem = desk.noticed(asProblem(caught));
      if (problem) this.problem = problem;
    }
  }

  async more(): Promise<void> {
    if (!this.next || this.#loadingMore) return;
    this.#loadingMore = true;
    const shown = this.#shown;
    try {
      const page = await calls.tickets(asked(this.#query, this.next, PAGE));
      if (shown !== this.#shown) return;
      // A ticket that moved between two pages must not stand in the list twice.
      const known = new Set(this.items.map((item) => item.id));
      this.items = [...this.items, ...page.items.filter((item) => !known.has(item.id))];
      this.total = page.total;
      this.next = page.next_cursor;
    } catch (caught) {
      const problem = desk.noticed(asProblem(caught));
      if (problem && !problem.away) this.problem = problem;
    } finally {
      this.#loadingMore = false;
    }
  }

  #noticeChange(id: string): void {
    if (!this.ready) return;
    this.#changed.add(id);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#takeChanges();
    }, STEP_MS);
  }

  async #takeChanges(): Promise<void> {
    const changed = [...this.#changed];
    this.#changed.clear();
    if (this.atTop || this.items.length <= PAGE) return this.reload();
    const rows = changed.filter((id) => this.items.some((item) => item.id === id));
    this.fresh += changed.length - rows.length;
    if (rows.length > RENEW_AT_MOST) this.fresh += rows.length;
    else await Promise.all(rows.map((id) => this.#renew(id)));
  }

  async #renew(id: string): Promise<void> {
    try {
      const ticket = await calls.ticket(id);
      this.#flash([ticket]);
      this.items = this.items.map((item) => (item.id === id ? ticket : item));
    } catch (caught) {
      desk.noticed(asProblem(caught));
    }
  }

  #flash(rows: Summary[]): void {
    const before = new Map(this.items.map((item) => [item.id, item.updated_at]));
    const changed = rows.filter((row) => before.get(row.id) !== row.updated_at).map((row) => row.id);
    if (changed.length === 0) return;
    this.flashing = new Set([...this.flashing, ...changed]);
    setTimeout(() => {
      const left = new Set(this.flashing);
      for (const id of changed) left.delete(id);
      this.flashing = left;
    }, FLASH_MS);
  }
}

export const listState = new ListState();
