/** The stage as its server tells it twice a second, and what a person may do to it. */
import { request } from '../api/client';
import { frameAddress } from './frames';
import type { Cable, StageState } from './types';

const POLL_MS = 500;
/** Dots run along a cable for this long after something was seen to move. */
const FLOW_MS = 2200;

export const cableName = (cable: Cable) => `${cable.a}-${cable.b}`;

class Stage {
  state = $state.raw<StageState | null>(null);
  /** Where each window goes; set once, and again only when the server gives a new address. */
  frames = $state<Record<string, string>>({});
  flowing = $state.raw<ReadonlySet<string>>(new Set());
  silent = $state(false);
  failed = $state(false);
  /** One-time addresses that wait for their site to run. */
  #offered = new Map<string, string>();
  #moved = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  start(): () => void {
    void this.#poll();
    return () => {
      this.#stopped = true;
      clearTimeout(this.#timer);
    };
  }

  setCable = (cable: Cable, up: boolean) => this.#act('/stage/links', { a: cable.a, b: cable.b, up });
  setAll = (up: boolean) => this.#act('/stage/links', { all: true, up });
  kill = (code: string) => this.#act(`/stage/sites/${encodeURIComponent(code)}/kill`);
  wipe = (code: string) => this.#act(`/stage/sites/${encodeURIComponent(code)}/wipe`);
  play = () => this.#act('/stage/script');

  async #act(path: string, body: unknown = {}): Promise<void> {
    this.failed = false;
    try {
      await request('POST', path, { body });
      await this.#read();
    } catch {
      this.failed = true;
    }
  }

  async #poll(): Promise<void> {
    await this.#read();
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#poll(), POLL_MS);
  }

  async #read(): Promise<void> {
    try {
      this.#take(await request<StageState>('GET', '/stage/state'));
      this.silent = false;
    } catch {
      this.silent = true;
    }
  }

  #take(next: StageState): void {
    const now = Date.now();
    for (const site of next.sites) {
      const before = this.state?.sites.find((one) => one.code === site.code);
      const moved = before && (before.digest !== site.digest || before.to_send !== site.to_send || before.to_receive !== site.to_receive);
      if (moved) this.#moved.set(site.code, now);
      if (site.frame) this.#offered.set(site.code, site.frame);
      // A window opened while its site is down would show the browser's error page for ever.
      const offered = this.#offered.get(site.code) ?? null;
      if (site.running && (offered || !this.frames[site.code])) {
        this.frames[site.code] = frameAddress(site.code, site.url, offered, sessionStorageIfAny(), location.hostname);
        this.#offered.delete(site.code);
      }
    }
    this.flowing = new Set(next.links.filter((cable) => cable.up && this.#flows(next, cable, now)).map(cableName));
    this.state = next;
  }

  /** Data flows when both ends run and one of them has something on the way, or had a moment ago. */
  #flows(next: StageState, cable: Cable, now: number): boolean {
    const ends = next.sites.filter((site) => site.code === cable.a || site.code === cable.b);
    if (ends.some((site) => !site.running)) return false;
    return ends.some((site) => site.to_send + site.to_receive > 0 || now - (this.#moved.get(site.code) ?? 0) < FLOW_MS);
  }
}

function sessionStorageIfAny(): Storage | undefined {
  try {
    return sessionStorage;
  } catch {
    return undefined;
  }
}

export const stage = new Stage();
