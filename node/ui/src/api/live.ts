/**
 * The live connection: one WebSocket per tab that says what changed. It is opened again for as long as
 * somebody is logged in, with growing pauses, and at once when the node answers a request again.
 */
import { pauseAfter } from './pause';
import { reach } from './reach.svelte';
import type { Event } from './types';

type Handler = (event: Event) => void;

class Live {
  #socket: WebSocket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #tries = 0;
  #wanted = false;
  #handlers = new Set<Handler>();

  constructor() {
    reach.onBack(() => {
      if (this.#wanted && !this.#socket) this.#open();
    });
  }

  on(handler: Handler): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  start(): void {
    this.#wanted = true;
    if (!this.#socket) this.#open();
  }

  stop(): void {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = undefined;
  }

  #open(): void {
    clearTimeout(this.#timer);
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/events`);
    this.#socket = socket;
    socket.onmessage = (message) => {
      this.#tries = 0;
      const event = read(message.data);
      if (event) for (const handle of this.#handlers) handle(event);
    };
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      if (!this.#wanted) return;
      reach.lost();
      this.#timer = setTimeout(() => this.#open(), pauseAfter(this.#tries++, Math.random()));
    };
  }
}

function read(data: unknown): Event | undefined {
  if (typeof data !== 'string') return undefined;
  try {
    return JSON.parse(data) as Event;
  } catch {
    return undefined;
  }
}

export const live = new Live();
