/** What paints open tails is not in the first script. It is loaded in an idle moment, or at once when an answer is made. */

let Tail = null;
let loading = null;

/** The class that paints a tail, or `null` as long as it is not loaded. */
export function painter() {
  return Tail;
}

/** Load it. Resolves to whether it is there: if not, text stays plain, and the next call tries again. */
export function loadPainter() {
  loading ??= Promise.all([import("./tail.js"), import("../vendor/smd.js")]).then(
    ([module]) => { Tail = module.Tail; return true; },
    () => { loading = null; return false; }, // plain text is readable, and the server's blocks need no painter
  );
  return loading;
}
