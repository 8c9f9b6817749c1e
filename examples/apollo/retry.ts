/** When and how to try again: docs/protocol.md, "Resuming after a lost connection" and "Errors". */

import { CombinedGraphQLErrors, ServerError } from "@apollo/client/errors";

/** Attempts in a row without a success before the program gives up. */
export const ATTEMPTS = 10;

/** Close codes that tell of a mistake in this program; 4403 is none, it wants a new token. */
const HOPELESS = new Set([1009, 4400, 4401, 4406, 4409, 4429]);
const WORTH_REPEATING = new Set(["RATE_LIMITED", "SERVICE_UNAVAILABLE", "INTERNAL_SERVER_ERROR"]);

/** Whether the same operation may succeed later. */
export function isWorthRepeating(reason: Error): boolean {
  if (CombinedGraphQLErrors.is(reason)) {
    return reason.errors.every(({ extensions }) => WORTH_REPEATING.has(String(extensions?.["code"])));
  }
  if (ServerError.is(reason)) return reason.statusCode >= 500;
  return !HOPELESS.has(closeCode(reason) ?? 0);
}

/** Milliseconds to wait after so many failures in a row, or as long as the server wants. */
export function pause(failures: number, reason?: Error): number {
  // Random, so that all clients of a restarted server do not come back at once.
  const own = Math.random() * Math.min(10_000, 200 * 2 ** failures);
  if (!CombinedGraphQLErrors.is(reason)) return own;
  const asked = reason.errors.map(({ extensions }) => Number(extensions?.["retryAfterSeconds"] ?? 0));
  return own + 1000 * Math.max(...asked);
}

/** Apollo's link for WebSockets tells the close code in words only. */
function closeCode({ message }: Error): number | undefined {
  const found = /^Socket closed with event (\d+)/.exec(message);
  return found ? Number(found[1]) : undefined;
}
