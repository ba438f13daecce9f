/** Where the server is: at the root of its host, or below a path (`PUBLIC_URL` with one). */

/** A route's path as the browser must ask for it. Scripts lie in `assets/`, beside which all routes are. */
export function here(route: string): string {
  return new URL(`..${route}`, import.meta.url).pathname;
}
