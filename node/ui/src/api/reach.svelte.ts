/**
 * Whether the node answers. A failed request starts a quiet question, repeated until there is an answer;
 * whoever keeps something for the node is called when it is back.
 */
import { site } from './calls';
import { onReach } from './client';

const ASK_AGAIN_MS = 400;

class Reach {
  away = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #back = new Set<() => void>();

  constructor() {
    onReach((away) => (away ? this.lost() : this.#found()));
  }

  /** Called when a request or the live connection was lost. */
  lost(): void {
    this.away = true;
    this.#timer ??= setTimeout(() => this.#ask(), ASK_AGAIN_MS);
  }

  /** Registers something to do when the node answers again; the answer takes it back. */
  onBack(run: () => void): () => void {
    this.#back.add(run);
    return () => this.#back.delete(run);
  }

  async #ask(): Promise<void> {
    this.#timer = undefined;
    // Success and failure both come back through `onReach`.
    await site().catch(() => undefined);
  }

  #found(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.away) return;
    this.away = false;
    for (const run of [...this.#back]) run();
  }
}

export const reach = new Reach();
