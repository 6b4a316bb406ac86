/** URLs of the server, which may be served under a base path; the base comes from this script's own URL. */

const PATH = new URL(import.meta.url).pathname;
const BASE = PATH.slice(0, PATH.lastIndexOf("/static/"));

/** Prefix a path of the server with the base path. */
export function at(path) {
  return BASE + path;
}
