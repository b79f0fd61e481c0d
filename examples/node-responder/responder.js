/** Serves SITE_CHECK on NATS, as docs/tool-protocol.md says. */

import { connect, headers } from "nats";
import { PARAMS_SCHEMA, ToolError, sitesOf, visit } from "./site-check.js";

const TOOL = "SITE_CHECK";
const MAX_IN_FLIGHT = Number(process.env.MAX_IN_FLIGHT ?? 10);
const GRACE_MS = Number(process.env.GRACE_MS ?? 10_000);
const SIGN_OF_LIFE_MS = 5_000; // after the first one, 15 s without any count as a dead tool
const BUSY_RETRY_MS = 250;

const WORKING = headers();
WORKING.set("Leadplan-Reply", "working");

// Reasons to end a request early.
const CANCELLED = new ToolError("cancelled", "the plan was cancelled", { retryable: false });
const OUT_OF_TIME = new ToolError("timeout", "the sites didn't answer within the attempt's time", { retryable: true });
const STOPPING = new ToolError("stopping", "the tool is being stopped", { retryable: true });

/** The requests under way. @type {Set<{key: string, abort: AbortController, answered: Promise<void>}>} */
const running = new Set();
let stopping = false;

/** Takes a request; never throws, and returns at once. */
function take(/** @type {Error | null} */ _error, /** @type {import("nats").ServiceMsg} */ message) {
  if (!message.reply) return;
  const request = readRequest(message);
  if (request === null) {
    send(message.reply, failed(new ToolError("bad_request", "this is no request of the tool protocol", { retryable: false })));
    return;
  }
  if (stopping || running.size >= MAX_IN_FLIGHT) {
    send(message.reply, { success: false, errorCode: "busy", retryAfterMs: BUSY_RETRY_MS });
    return;
  }
  const abort = new AbortController();
  const call = { key: request.idempotencyKey, abort, answered: answer(message.reply, request, abort) };
  running.add(call);
  call.answered.finally(() => running.delete(call));
}

/** The request, or null when it is none; fields that this tool doesn't know are ignored. */
function readRequest(/** @type {import("nats").ServiceMsg} */ message) {
  try {
    const request = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(message.data));
    const { idempotencyKey, timeoutMs, params } = request;
    const isObject = params !== null && typeof params === "object" && !Array.isArray(params);
    return typeof idempotencyKey === "string" && Number.isInteger(timeoutMs) && isObject ? request : null;
  } catch {
    return null;
  }
}

async function answer(/** @type {string} */ replyTo, request, /** @type {AbortController} */ abort) {
  const signOfLife = (/** @type {object | undefined} */ progress) => send(replyTo, progress, { headers: WORKING });
  signOfLife();
  const beat = setInterval(signOfLife, SIGN_OF_LIFE_MS);
  const deadline = setTimeout(() => abort.abort(OUT_OF_TIME), Math.min(request.timeoutMs, 2 ** 31 - 1));
  let reply;
  try {
    const urls = sitesOf(request.params, request.priorResults ?? {});
    const sites = [];
    for (const url of urls) {
      sites.push(await visit(url, abort.signal));
      signOfLife({ progress: sites.length / urls.length, message: `${sites.length} of ${urls.length} sites` });
    }
    reply = { success: true, data: { sites, reachable: sites.filter((site) => site.reachable).length } };
  } catch (error) {
    reply = failed(abort.signal.aborted ? abort.signal.reason : error);
  }
  clearInterval(beat); // no sign of life after the reply
  clearTimeout(deadline);
  send(replyTo, reply);
}

/** A message to whoever asked. What doesn't fit into one is said to be too large. */
function send(/** @type {string} */ replyTo, /** @type {object | undefined} */ body, options = {}) {
  if (nc.isClosed()) return;
  let bytes = Buffer.from(body ? JSON.stringify(body) : "");
  if (bytes.length > (nc.info?.max_payload ?? 1_048_576)) {
    bytes = Buffer.from(JSON.stringify(failed(new ToolError("result_too_large", "ask for fewer sites", { retryable: false }))));
  }
  nc.publish(replyTo, bytes, options);
}

function failed(/** @type {unknown} */ error) {
  if (error instanceof ToolError) {
    return { success: false, errorMessage: error.message, errorCode: error.errorCode, ...error.repeat };
  }
  console.error("unexpected error:", error); // details go to the log: they may hold secrets
  return { success: false, errorMessage: `${TOOL} failed unexpectedly`, errorCode: "internal_error", retryable: true };
}

/** Work for a key that is no longer wanted ends. Every process hears this: there is no queue group. */
function takeCancelNotice(/** @type {Error | null} */ _error, /** @type {import("nats").Msg} */ message) {
  let key;
  try {
    key = message.json()?.idempotencyKey;
  } catch {
    return;
  }
  for (const call of running) if (call.key === key) call.abort.abort(CANCELLED);
}

const nc = await connect({
  servers: (process.env.NATS_URL ?? "nats://127.0.0.1:4222").split(","),
  name: "site-check",
  maxReconnectAttempts: -1,
});
nc.subscribe(`tools.${TOOL}.cancel`, { callback: takeCancelNotice });
const service = await nc.services.add({
  name: "site-check",
  version: "1.0.0",
  description: "Says which web sites answer",
  queue: "q", // the queue group that all responders use
});
service.addEndpoint(TOOL, {
  subject: `tools.${TOOL}`,
  handler: take,
  metadata: { tool: TOOL, params_schema: JSON.stringify(PARAMS_SCHEMA), effects: "none" },
});
await nc.flush();
console.log("serving");

/** No new work; what runs may finish within the grace time; the rest is answered, too. */
async function stop() {
  if (stopping) return;
  stopping = true;
  await service.stop(); // what has come in already is answered busy
  const grace = setTimeout(() => running.forEach((call) => call.abort.abort(STOPPING)), GRACE_MS);
  await Promise.all([...running].map((call) => call.answered));
  clearTimeout(grace);
  await nc.drain();
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);

const error = await nc.closed();
if (error) {
  console.error("the connection was closed:", error.message);
  process.exit(1);
}
