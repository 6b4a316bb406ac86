/** Loads the tail's painter, which is not in the first script: when idle, or at once if an answer is in progress. */

let Tail = null;
let loading = null;

/** The class that paints a tail, or `null` until it is loaded. */
export function painter() {
  return Tail;
}

/** Load the painter. Resolves to whether that worked: if not, text stays plain, and the next call retries. */
export function loadPainter() {
  loading ??= Promise.all([import("./tail.js"), import("../vendor/smd.js")]).then(
    ([module]) => { Tail = module.Tail; return true; },
    () => { loading = null; return false; }, // plain text is readable, and blocks need no painter
  );
  return loading;
}
