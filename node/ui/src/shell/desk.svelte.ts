/** Which site this page belongs to and who is logged in. */
import * as calls from '../api/calls';
import { asProblem, type Problem } from '../api/client';
import { live } from '../api/live';
import { reach } from '../api/reach.svelte';
import type { SiteInfo, User } from '../api/types';
import { syncState } from '../sync/state.svelte';

class Desk {
  site = $state.raw<SiteInfo | null>(null);
  user = $state.raw<User | null>(null);
  /** `starting` until the node said whether somebody is logged in. */
  stage = $state<'starting' | 'out' | 'in'>('starting');

  constructor() {
    reach.onBack(() => void this.look());
  }

  get siteName(): string | undefined {
    return this.site?.site.name;
  }

  /** May write internal notes and change the fields of the desk. */
  get technician(): boolean {
    return this.user !== null && this.user.role !== 'user';
  }

  async look(): Promise<void> {
    try {
      this.site ??= await calls.site();
      const { user } = await calls.session();
      this.#enter(user);
    } catch (caught) {
      this.noticed(asProblem(caught));
    }
  }

  async logIn(login: string, password: string): Promise<void> {
    const { user } = await calls.logIn(login, password);
    this.#enter(user);
  }

  async logOut(): Promise<void> {
    try {
      await calls.logOut();
    } finally {
      this.#leave();
    }
  }

  /** Every problem passes here, because any call may find that the session has ended. */
  noticed(problem: Problem | null): Problem | null {
    if (problem?.status === 401) this.#leave();
    return problem;
  }

  #enter(user: User): void {
    this.user = user;
    this.stage = 'in';
    live.start();
    syncState.start();
  }

  #leave(): void {
    this.user = null;
    this.stage = 'out';
    live.stop();
    syncState.stop();
  }
}

export const desk = new Desk();
