/**
 * One way to ask the node for something. An answer is the parsed body or a thrown `Problem`;
 * a node that does not answer at all is a `Problem` too, with a code of our own.
 */
import type { Params } from './types';

export const NODE_AWAY = 'NODE-AWAY';

/** How long a request may take before we say that the node is away. */
const PATIENCE_MS = 15_000;

export class Problem extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
    readonly params: Params = {},
    readonly words: { safe?: string; happened?: string; todo?: string } = {},
  ) {
    super(code);
  }

  get away(): boolean {
    return this.code === NODE_AWAY;
  }
}

type Listener = (away: boolean) => void;
const listeners = new Set<Listener>();

/** Tells about every request whether the node answered it. */
export function onReach(listener: Listener): void {
  listeners.add(listener);
}

let language = 'en';
export function speak(lang: string): void {
  language = lang;
}

export interface Options { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal }

export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json', 'accept-language': language, ...options.headers };
  if (options.body !== undefined) headers['content-type'] = 'application/json';
  const limit = AbortSignal.timeout(PATIENCE_MS);
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      credentials: 'same-origin',
      signal: options.signal ? AbortSignal.any([options.signal, limit]) : limit,
    });
    text = await response.text();
  } catch (cause) {
    // A request that we gave up ourselves says nothing about the node.
    if (options.signal?.aborted) throw cause;
    for (const tell of listeners) tell(true);
    throw new Problem(NODE_AWAY, 0);
  }
  const body = parse(text);
  // A gateway in front of the node answers like this while the node starts.
  if ([502, 503, 504].includes(response.status) && !isProblem(body)) {
    for (const tell of listeners) tell(true);
    throw new Problem(NODE_AWAY, response.status);
  }
  for (const tell of listeners) tell(false);
  if (response.ok) return body as T;
  throw toProblem(response.status, body);
}

function parse(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isProblem(body: unknown): body is Record<string, unknown> {
  return typeof body === 'object' && body !== null && typeof (body as Record<string, unknown>).code === 'string';
}

/** Turns an error body into a `Problem`, also when it does not follow the contract. */
export function toProblem(status: number, body: unknown): Problem {
  if (!isProblem(body)) return new Problem(`HTTP-${status}`, status);
  const word = (key: string) => (typeof body[key] === 'string' ? (body[key] as string) : undefined);
  const params = typeof body.params === 'object' && body.params !== null ? (body.params as Params) : {};
  return new Problem(body.code as string, status, params, { safe: word('safe'), happened: word('happened'), todo: word('todo') });
}

/** The problem inside anything that was caught; null for a request we gave up ourselves. */
export function asProblem(caught: unknown): Problem | null {
  if (caught instanceof Problem) return caught;
  if (caught instanceof DOMException && caught.name === 'AbortError') return null;
  throw caught;
}
