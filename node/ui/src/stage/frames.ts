/**
 * Which address each site's window shows. The stage server gives a one-time address once; after a reload of the
 * stage the window goes to the same place without it, where the cookie is already known.
 */
const KEPT_UNDER = 'archipel.stage.frame.';

/** The same site under the stage's own name, so that the window may keep its cookie: paris.localhost -> paris.<stage>. */
export function homeOf(url: string, stageHost: string): string {
  const home = new URL(url);
  const first = home.hostname.split('.')[0]!;
  const isAddress = /^[\d.]+$|^\[/.test(home.hostname);
  if (!isAddress && first !== 'localhost' && stageHost.includes('.')) home.hostname = `${first}.${stageHost}`;
  home.pathname = '/';
  home.search = '';
  return home.href;
}

export function frameAddress(code: string, url: string, frame: string | null, storage: Storage | undefined, stageHost: string): string {
  if (frame) {
    storage?.setItem(KEPT_UNDER + code, new URL('/', frame).href);
    return frame;
  }
  return storage?.getItem(KEPT_UNDER + code) ?? homeOf(url, stageHost);
}
