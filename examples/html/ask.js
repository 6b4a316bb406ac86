// Asks a Tailrace server of another origin, shows the answer as it comes, and stops it. docs/api.md explains the client,
// which comes from that server.

const form = document.querySelector("form");
const { prompt, stop } = form.elements;
const answer = document.querySelector("#answer");
const status = document.querySelector("[role=status]");
const session = crypto.randomUUID(); // one chat for each visit
let asking = null;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  asking?.abort(); // the server replaces the answer in progress, too
  asking = new AbortController();
  const { signal } = asking;
  status.textContent = "Answering…";
  answer.textContent = "";
  const sentence = await ask(prompt.value, signal).catch((error) => error.message);
  if (signal.aborted) return;
  status.textContent = sentence;
  stop.disabled = true;
});

/** Show an answer; resolves to how it ended. Rejects with what the server says if it refuses. */
async function ask(text, signal) {
  const { Client } = await import(`${form.dataset.server}/static/client.js`);
  const client = new Client();
  const { stream_id, cursor } = await client.ask(session, text, { signal });
  stop.onclick = () => client.stop(stream_id).catch((error) => (status.textContent = error.message));
  stop.disabled = false;
  let outcome = "";
  for await (const event of client.resume(stream_id, { cursor, signal })) {
    if (event.type === "token") answer.append(event.text);
    if (event.type === "end") outcome = event.error?.message ?? event.outcome;
    if (event.type === "reset") ({ content: answer.textContent, outcome } = event.snapshot.messages.at(-1));
  }
  return outcome;
}
