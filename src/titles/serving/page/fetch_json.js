// Requests to the application, repeated while it is busy.

const MOST_TRIES = 6;

/**
 * The JSON answered at `path`, to a GET or, with a body, to a POST.
 *
 * After a 503 it waits 1 second, then 2, 4, 8 and 16, or as long as Retry-After says where that is longer; it gives up at
 * the sixth, or as soon as `isWanted` is false. Throws an error with the reason where there is no answer.
 */
export async function ask(path, body, isWanted = () => true) {
  const request = body && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  for (let tried = 1; ; tried++) {
    const response = await fetch(path, request);
    if (response.status !== 503 || tried === MOST_TRIES) return answered(response);
    // Retry-After may be missing, or a date.
    const seconds = Math.max(2 ** (tried - 1), Number(response.headers.get("Retry-After")) || 0);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    if (!isWanted()) throw new Error("no longer wanted");
  }
}

async function answered(response) {
  // A proxy may answer with a page.
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  const detail = answer?.detail ?? `${response.status} ${response.statusText}`;
  throw new Error(typeof detail === "string" ? detail : detail[0].msg);
}
