/** How long to wait between two tries at a lost connection. */
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 3000;

/** The pause before the next try: doubled each time, with a little chance so that tabs do not come in step. */
export function pauseAfter(tries: number, chance: number): number {
  const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tries);
  return Math.round(pause * (0.8 + 0.2 * chance));
}
