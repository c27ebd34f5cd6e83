/** One page for every address: the hub serves files and the browser does the rest. */
export const ssr = false;
export const prerender = false;
