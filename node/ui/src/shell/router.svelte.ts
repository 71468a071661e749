/** The present route, and the ways to another one. */
import { FIRST_QUERY, format, parse, type Query, type Route } from './routes';

class Router {
  route = $state.raw<Route>(parse(location.hash));
  /** The list that was last looked at: the way back leads there. */
  lastList = $state.raw<Query>(FIRST_QUERY);

  constructor() {
    this.#remember();
    addEventListener('hashchange', () => {
      this.route = parse(location.hash);
      this.#remember();
    });
  }

  go(route: Route): void {
    location.hash = format(route);
  }

  /** Changes the filters without a step in the browser's history for each letter typed. */
  refine(change: Partial<Query>): void {
    const query = { ...(this.route.page === 'list' ? this.route.query : this.lastList), ...change };
    history.replaceState(null, '', format({ page: 'list', query }));
    this.route = { page: 'list', query };
    this.#remember();
  }

  back(): void {
    this.go({ page: 'list', query: this.lastList });
  }

  #remember(): void {
    if (this.route.page === 'list') this.lastList = this.route.query;
  }
}

export const router = new Router();
export const ticketHref = (key: string) => format({ page: 'ticket', key, tab: 'talk' });
