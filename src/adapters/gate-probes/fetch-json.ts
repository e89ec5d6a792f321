/** Of one answer, uncompressed: a Prometheus vector of 20,000 samples (a guess; whoever needs more should aggregate). */
export const MOST_BYTES = 4 * 1024 * 1024;

export interface JsonRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent by POST, as a form; GET if absent. */
  readonly form?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/**
 * Asks once and reads the JSON; redirects are not followed, since what they lead to is not what was declared.
 *
 * @throws Error in words: no answer in time, too large, no JSON
 */
export async function fetchJson(
  { url, headers, form, timeoutMs }: JsonRequest,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly json: unknown }> {
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, {
      method: form === undefined ? "GET" : "POST",
      headers: { accept: "application/json", "user-agent": "bakehouse", ...headers },
      ...(form === undefined ? {} : { body: new URLSearchParams(form) }),
      redirect: "manual",
      signal: AbortSignal.any([signal, timeout]),
    });
    const text = await readText(response);
    if (response.status >= 300 && response.status < 400) throw new Error(`it answered ${response.status}, a redirect`);
    return { status: response.status, json: parseJson(text, response.status) };
  } catch (error) {
    if (signal.aborted) throw new Error("the question was stopped", { cause: error });
    if (timeout.aborted) throw new Error(`no answer within ${timeoutMs} ms`, { cause: error });
    throw new Error(causeOf(error), { cause: error });
  }
}

/** @throws Error in words when it is no JSON */
export function parseJson(text: string, status: number): unknown {
  if (text.length > MOST_BYTES) throw new Error(TOO_LARGE);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Error(status >= 200 && status < 300 ? "the answer is no JSON" : `it answered ${status}`, { cause: error });
  }
}

const TOO_LARGE = `the answer is larger than ${MOST_BYTES / 1024 / 1024} MiB`;

async function readText({ body }: Response): Promise<string> {
  if (body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of body as ReadableStream<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw new Error(TOO_LARGE); // leaving the loop cancels the rest
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** `fetch failed` says nothing; what is behind it does. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof TypeError) || !(error.cause instanceof Error)) return error.message;
  return error.cause.message || String((error.cause as NodeJS.ErrnoException).code);
}
