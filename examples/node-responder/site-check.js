/**
 * What SITE_CHECK does: it visits web sites and says which of them answer. Nothing here knows of NATS.
 *
 * @typedef {{url: string, reachable: boolean, status?: number, title?: string, reason?: string}} Site
 * @typedef {{urls?: string[], sourceStepId?: string}} Params
 * @typedef {{dataRef?: object, data?: any}} StepResult
 */

const LONGEST_VISIT_MS = 5_000;
const MOST_BYTES = 65_536;
const DEFAULT_WAIT_S = 30;

/** The JSON Schema of the params. Executors check plans against it before they start. */
export const PARAMS_SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  properties: {
    urls: {
      description: "Sites to visit.",
      type: "array",
      items: { type: "string", pattern: "^https?://" },
      minItems: 1,
      maxItems: 100,
    },
    sourceStepId: { description: "A place search: its places' websites are visited.", type: "string" },
  },
  oneOf: [{ required: ["urls"] }, { required: ["sourceStepId"] }],
  additionalProperties: false,
};

/** Why a step wasn't done, as the reply says it. */
export class ToolError extends Error {
  /**
   * @param {string} errorCode for programs
   * @param {string} message for people: it says what to do and holds no secrets
   * @param {{retryable: boolean, retryAfterMs?: number}} repeat whether the same request can succeed later, and when
   */
  constructor(errorCode, message, repeat) {
    super(message);
    this.errorCode = errorCode;
    this.repeat = repeat;
  }
}

const never = { retryable: false };

/**
 * The sites that a request names.
 * @param {Params} params
 * @param {Record<string, StepResult>} priorResults
 * @returns {string[]}
 */
export function sitesOf(params, priorResults) {
  const { urls, sourceStepId, ...unknown } = params;
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw new ToolError("invalid_params", `params.${name} isn't known`, never);
  if ((urls === undefined) === (sourceStepId === undefined)) {
    throw new ToolError("invalid_params", "give either params.urls or params.sourceStepId", never);
  }
  if (urls !== undefined) return checked(urls);
  const source = priorResults[sourceStepId];
  if (source?.dataRef) {
    const text = `the data of step ${sourceStepId} is in the object store, which this tool doesn't read: search for less`;
    throw new ToolError("source_too_large", text, never);
  }
  if (!Array.isArray(source?.data?.places)) {
    throw new ToolError("unreadable_source", `step ${sourceStepId} has no list of places`, never);
  }
  return source.data.places.map((place) => place?.website).filter(isWebAddress);
}

/** @param {unknown} urls */
function checked(urls) {
  if (!Array.isArray(urls) || urls.length < 1 || urls.length > 100 || !urls.every(isWebAddress)) {
    throw new ToolError("invalid_params", "params.urls must be 1 to 100 texts that begin with http:// or https://", never);
  }
  return urls;
}

/** @param {unknown} text */
function isWebAddress(text) {
  return typeof text === "string" && /^https?:\/\//.test(text);
}

/**
 * Visit one site.
 * @param {string} url
 * @param {AbortSignal} signal ends the visit
 * @returns {Promise<Site>}
 * @throws {ToolError} the site says that we come too often
 */
export async function visit(url, signal) {
  const limit = AbortSignal.timeout(LONGEST_VISIT_MS);
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, limit]) });
    const { status } = response;
    const page = await beginning(response);
    if (status === 429 || status === 503) {
      const seconds = Number(response.headers.get("retry-after") ?? DEFAULT_WAIT_S); // a date gives NaN
      const retryAfterMs = Math.ceil((seconds >= 0 ? seconds : DEFAULT_WAIT_S) * 1000);
      throw new ToolError("rate_limited", `${url} answered ${status}`, { retryable: true, retryAfterMs });
    }
    const title = /<title[^>]*>([^<]*)/i.exec(page)?.[1].trim().slice(0, 200);
    return { url, reachable: status < 400, status, ...(title && { title }) };
  } catch (error) {
    if (error instanceof ToolError || signal.aborted) throw error;
    return { url, reachable: false, reason: limit.aborted ? "no answer in time" : "no connection" };
  }
}

/** The first part of the page; a title stands near its top. */
async function beginning(/** @type {Response} */ response) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MOST_BYTES) break; // ends the transfer, too
  }
  return text;
}
