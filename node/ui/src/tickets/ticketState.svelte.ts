/**
 * One open ticket. A change shows at once; until the node has it, the field says "not saved yet",
 * and while the node is away the change waits here and is tried again.
 */
import * as calls from '../api/calls';
import { asProblem, type Problem } from '../api/client';
import { live } from '../api/live';
import { reach } from '../api/reach.svelte';
import type { Confirmation, HistoryItem, Replication, Ticket } from '../api/types';
import { desk } from '../shell/desk.svelte';

const GATHER_MS = 80;
/** News of the links comes up to four times a second; where a ticket has arrived is asked less often. */
const SEEN_MS = 700;

interface Wish {
  /** What the page shows meanwhile, under the field's name. */
  shown: unknown;
  waiting: boolean;
  send: () => Promise<Ticket>;
}

export class TicketState {
  #read = $state.raw<Ticket | null>(null);
  wishes = $state.raw<Readonly<Record<string, Wish>>>({});
  problem = $state.raw<Problem | null>(null);
  history = $state.raw<HistoryItem[] | null>(null);
  replication = $state.raw<Replication | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #seenTimer: ReturnType<typeof setTimeout> | undefined;
  #ends: (() => void)[] = [];
  #wantsHistory = false;

  constructor(readonly key: string) {}

  /** The ticket as the reader should see it: what the node said, with the wishes on top. */
  get ticket(): Ticket | null {
    if (!this.#read) return null;
    const shown = Object.fromEntries(Object.entries(this.wishes).map(([field, wish]) => [field, wish.shown]));
    return { ...this.#read, ...shown };
  }

  open(): () => void {
    void this.load();
    this.#ends = [
      live.on((event) => {
        // A ticket that is not known yet may be the one that just arrived.
        if (event.type === 'changed' && event.kind === 'ticket' && (!this.#read || event.id === this.#read.id)) this.#soon();
        if (event.type === 'hello') this.#soon();
        if (event.type === 'sync') this.#seenSoon();
      }),
      reach.onBack(() => {
        void this.load();
        for (const field of Object.keys(this.wishes)) void this.#try(field);
      }),
    ];
    return () => {
      clearTimeout(this.#timer);
      clearTimeout(this.#seenTimer);
      for (const end of this.#ends) end();
    };
  }

  async load(): Promise<void> {
    try {
      this.#read = await calls.ticket(this.key);
      if (this.problem?.away || ['TICKET-UNKNOWN', 'TICKET-HELD'].includes(this.problem?.code ?? '')) this.problem = null;
      void this.#readReplication();
      if (this.#wantsHistory) void this.readHistory();
    } catch (caught) {
      this.#tell(asProblem(caught));
    }
  }

  async readHistory(): Promise<void> {
    this.#wantsHistory = true;
    const id = this.#read?.id;
    if (!id) return;
    try {
      this.history = (await calls.history(id)).items;
    } catch (caught) {
      this.#tell(asProblem(caught));
    }
  }

  /** Changes one field: `sent` goes to the node, `shown` stands on the page meanwhile. */
  change(field: string, sent: unknown, shown: unknown): Promise<void> {
    return this.#wish(field, shown, () => calls.changeTicket(this.#read!.id, { [field]: sent }));
  }

  /** Says of a field, a reply or a note in doubt that it is right: at once, or not at all. */
  async confirm(what: Confirmation): Promise<void> {
    try {
      this.#read = await calls.confirm(this.#read!.id, what);
      this.problem = null;
      void this.#readReplication();
      if (this.#wantsHistory) void this.readHistory();
    } catch (caught) {
      this.#tell(asProblem(caught));
    }
  }

  move(to: string, reason?: string): Promise<void> {
    return this.#wish('status', to, async () => {
      // A move that was tried before the node went away may have arrived.
      const present = await calls.ticket(this.#read!.id);
      const settled = !present.conflict_list.some((conflict) => conflict.field === 'status');
      return present.status === to && settled ? present : calls.moveTicket(present.id, to, reason);
    });
  }

  #wish(field: string, shown: unknown, send: Wish['send']): Promise<void> {
    this.wishes = { ...this.wishes, [field]: { shown, waiting: false, send } };
    return this.#try(field);
  }

  async #try(field: string): Promise<void> {
    const wish = this.wishes[field];
    if (!wish) return;
    try {
      const ticket = await wish.send();
      this.#read = ticket;
      this.#drop(field, wish);
      this.problem = null;
      void this.#readReplication();
      if (this.#wantsHistory) void this.readHistory();
    } catch (caught) {
      const problem = asProblem(caught);
      if (problem?.away) {
        if (this.wishes[field] === wish) this.wishes = { ...this.wishes, [field]: { ...wish, waiting: true } };
        return;
      }
      this.#drop(field, wish);
      this.#tell(problem);
    }
  }

  #drop(field: string, wish: Wish): void {
    // A later wish for the same field, or the same one marked as waiting, may have come in between.
    if (this.wishes[field]?.send !== wish.send) return;
    const { [field]: _, ...rest } = this.wishes;
    this.wishes = rest;
  }

  async #readReplication(): Promise<void> {
    const id = this.#read?.id;
    if (!id) return;
    try {
      this.replication = await calls.replication(id);
    } catch (caught) {
      desk.noticed(asProblem(caught));
    }
  }

  #seenSoon(): void {
    this.#seenTimer ??= setTimeout(() => {
      this.#seenTimer = undefined;
      void this.#readReplication();
    }, SEEN_MS);
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.load();
    }, GATHER_MS);
  }

  #tell(problem: Problem | null): void {
    desk.noticed(problem);
    // The banner speaks for a node that is away.
    if (problem && !problem.away) this.problem = problem;
  }
}
