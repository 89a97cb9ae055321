// All that the page says to the server.

export class ApiError extends Error {
  /**
   * @param {string} message in plain words @param {string} kind "conflict", "retry" (try again later) or "refused"
   * @param {string} code the server's own word for it @param {any} [body]
   */
  constructor(message, kind, code, body) {
    super(message);
    this.kind = kind;
    this.code = code;
    this.body = body;
  }
}

const LATER = ["database_locked", "database", "disk_full", "image", "offline", "busy"];

/** @param {string} path @param {RequestInit} [options] @returns {Promise<Response>} */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-cache", ...options });
  } catch (error) {
    if (/** @type {any} */ (error).name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is clickgrain still running?", "retry", "offline");
  }
  if (response.ok) return response;
  throw await refusal(response);
}

/** @param {Response} response */
async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const code = body.error?.code ?? String(response.status);
  const message = body.error?.message ?? `The server answered ${response.status}.`;
  const kind = response.status === 409 && code === "conflict" ? "conflict" : LATER.includes(code) ? "retry" : "refused";
  if (response.status === 401)
    return new ApiError("Open the address that the terminal shows: it holds the token.", "refused", "token");
  return new ApiError(message, kind, code, body);
}

/** @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function get(path, signal) {
  return (await ask(path, { signal })).json();
}

/** @param {string} path @param {AbortSignal} [signal] @returns {Promise<ArrayBuffer>} */
export async function getBytes(path, signal) {
  return (await ask(path, { signal, cache: "default" })).arrayBuffer();
}

/** @param {string} path @param {AbortSignal} [signal] @returns {Promise<ImageBitmap>} */
export async function getPicture(path, signal) {
  const blob = await (await ask(path, { signal, cache: "default" })).blob();
  return createImageBitmap(blob);
}

/** @param {string} path @param {any} body JSON, or a Blob that goes as it is @returns {Promise<any>} */
export async function post(path, body) {
  const raw = body instanceof Blob;
  const headers = { "X-Clickgrain": "1", "Content-Type": raw ? "application/octet-stream" : "application/json" };
  return (await ask(path, { method: "POST", headers, body: raw ? body : JSON.stringify(body ?? {}) })).json();
}
