/** Addresses of the server, which may be found under a path: that is where this script comes from. */

const PATH = new URL(import.meta.url).pathname;
const BASE = PATH.slice(0, PATH.lastIndexOf("/static/"));

/** Where a path of the server is. */
export function at(path) {
  return BASE + path;
}
