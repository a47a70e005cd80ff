// Requests to the server, repeated while it is overloaded.

const MAX_TRIES = 6;

/**
 * Fetch the JSON at `path`, with a GET request or, if there is a body, a POST request.
 *
 * After a 503 it waits 1 second, then 2, 4, 8 and 16, or the seconds of Retry-After if they are more. It gives up at the
 * sixth 503, or as soon as `isWanted` returns false. Throws an error with the reason if there is no result.
 */
export async function fetchJson(path, body, isWanted = () => true) {
  const request = body && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  for (let tries = 1; ; tries++) {
    const response = await fetch(path, request);
    if (response.status !== 503 || tries === MAX_TRIES) return parse(response);
    // Retry-After may be missing, or a date.
    const seconds = Math.max(2 ** (tries - 1), Number(response.headers.get("Retry-After")) || 0);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    if (!isWanted()) throw new Error("no longer wanted");
  }
}

async function parse(response) {
  // A proxy may respond with an HTML page.
  const content = await response.json().catch(() => null);
  if (response.ok && content) return content;
  const detail = content?.detail ?? `${response.status} ${response.statusText}`;
  throw new Error(typeof detail === "string" ? detail : detail[0].msg);
}
