// Asks a Tailrace server of another origin, shows the answer as it comes, and stops it. docs/api.md explains the API.

const form = document.querySelector("form");
const { prompt, stop } = form.elements;
const answer = document.querySelector("#answer");
const status = document.querySelector("[role=status]");

const { server } = form.dataset;
const session = crypto.randomUUID(); // one chat for each visit
let source = null;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  end("Answering…");
  answer.textContent = "";
  const posted = await request("POST", `/api/sessions/${session}/streams`, { prompt: prompt.value });
  if (posted) listen(posted);
});

/** Show the events of a stream. `EventSource` connects again by itself, and misses nothing. */
function listen({ events_url, stream_id }) {
  source?.close();
  source = new EventSource(server + events_url);
  source.addEventListener("token", ({ data }) => answer.append(JSON.parse(data).text));
  source.addEventListener("end", ({ data }) => {
    const { outcome, error } = JSON.parse(data);
    end(error?.message ?? outcome);
  });
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) end("The connection is lost.");
  });
  stop.onclick = () => request("DELETE", `/api/streams/${stream_id}`);
  stop.disabled = false;
}

/** Send a request; resolves to its JSON, or to nothing if it failed, which is shown. */
async function request(method, path, body) {
  try {
    const headers = body && { "Content-Type": "application/json" };
    const response = await fetch(server + path, { method, headers, body: body && JSON.stringify(body) });
    const json = await response.json();
    if (response.ok) return json;
    end(json.detail);
  } catch {
    end("The server cannot be reached.");
  }
}

function end(sentence) {
  source?.close();
  source = null;
  stop.disabled = true;
  status.textContent = sentence;
}
