/** Parts of the page that come when they are needed: scripts beside this one, of the same build. */

interface Parts {
  search: typeof import("./search");
  webgl: typeof import("./webgl");
}

let failures = 0;

/** Fetches scripts that the next page needs, for the browser's cache. Not by a `prefetch`: our policy forbids that in Firefox. */
export async function fetchAhead(...names: string[]): Promise<void> {
  const here = new URL(import.meta.url);
  for (const name of names) {
    const answer = await fetch(new URL(`${name}.js${here.search}`, here), { priority: "low" }).catch(() => undefined);
    await answer?.arrayBuffer().catch(() => undefined);
  }
}

/** The part; undefined when it can't be had now, for want of a network. */
export async function loadPart<Name extends keyof Parts>(name: Name): Promise<Parts[Name] | undefined> {
  const here = new URL(import.meta.url);
  // A browser remembers for good which address has failed, so the next time it is another one.
  const again = failures === 0 ? "" : `&again=${failures}`;
  try {
    return (await import(new URL(`${name}.js${here.search}${again}`, here).href)) as Parts[Name];
  } catch {
    failures += 1;
    return undefined;
  }
}
