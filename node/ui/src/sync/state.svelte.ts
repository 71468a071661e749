/** The state of the links, read again when the node says so, and now and then in case a message was lost. */
import * as calls from '../api/calls';
import { asProblem } from '../api/client';
import { live } from '../api/live';
import { reach } from '../api/reach.svelte';
import type { Sync } from '../api/types';

const NOW_AND_THEN_MS = 10_000;

class SyncState {
  sync = $state.raw<Sync | null>(null);
  panelOpen = $state(false);
  #timer: ReturnType<typeof setInterval> | undefined;
  #reading = false;
  #again = false;

  constructor() {
    live.on((event) => {
      if (event.type === 'sync' || event.type === 'hello') void this.read();
    });
  }

  start(): void {
    if (this.#timer) return;
    this.#timer = setInterval(() => {
      if (!reach.away) void this.read();
    }, NOW_AND_THEN_MS);
    void this.read();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.sync = null;
    this.panelOpen = false;
  }

  /** One question at a time; a call in between asks once more afterwards. */
  async read(): Promise<void> {
    if (this.#timer === undefined) return;
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    try {
      this.sync = await calls.sync();
    } catch (caught) {
      // A node that is away is told about elsewhere; the last known state stays.
      asProblem(caught);
    } finally {
      this.#reading = false;
    }
    if (this.#again) {
      this.#again = false;
      void this.read();
    }
  }
}

export const syncState = new SyncState();
