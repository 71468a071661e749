/** The present, renewed twice a minute, so that ages on the screen stay true. */
const EVERY_MS = 30_000;

class Now {
  date = $state(new Date());

  constructor() {
    setInterval(() => (this.date = new Date()), EVERY_MS);
  }
}

export const now = new Now();
