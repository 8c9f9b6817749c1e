/**
 * Follows a reply to its end, however often the connection is lost: docs/protocol.md, "Resuming
 * after a lost connection".
 */

import type { ApolloClient } from "@apollo/client";
import { concat, defer, EMPTY, map, type Observable, retry, takeWhile, tap, timer } from "rxjs";
import { MESSAGE, REPLY, type ReplyEvent } from "./operations.js";
import { ATTEMPTS, isWorthRepeating, pause } from "./retry.js";

export type FollowOptions = {
  /** The last `seq` that is known already; 0 follows from the beginning. */
  after?: number;
  /** Connections in a row that may bring no event before the follower gives up. */
  attempts?: number;
  /** Told before each new connection: the last `seq` seen, and why the connection ended. */
  onResume?: (after: number, reason: Error) => void;
};

/** The reply's events in order, each once, and complete after `ReplyEnded`. */
export function followReply(
  apollo: ApolloClient,
  id: string,
  { after = 0, attempts = ATTEMPTS, onResume }: FollowOptions = {},
): Observable<ReplyEvent> {
  let seen = after;
  let failures = 0;
  let ended = false;

  // `defer` makes each new subscription begin after what was seen last. The pieces of text stay out
  // of the cache: all its views would render again for each of them.
  const events = defer(() =>
    apollo.subscribe({ query: REPLY, variables: { id, after: seen }, fetchPolicy: "no-cache" }),
  );
  const early = defer(() => {
    if (!ended) throw new Error("The server closed the subscription early.");
    return EMPTY;
  });

  return concat(events, early).pipe(
    map(({ data, error }) => {
      if (error) throw error;
      return data!.reply;
    }),
    tap((event) => {
      if (event.seq !== seen + 1) throw new BrokenSequence(seen, event.seq);
      seen = event.seq;
      failures = 0;
      ended = event.__typename === "ReplyEnded";
    }),
    takeWhile(() => !ended, true),
    retry({
      delay: (reason: Error) => {
        failures += 1;
        if (reason instanceof BrokenSequence || !isWorthRepeating(reason) || failures > attempts) {
          throw reason;
        }
        onResume?.(seen, reason);
        return timer(pause(failures, reason));
      },
    }),
    tap((event) => {
      // The ended reply belongs in the cache: whoever shows the message shows it whole now.
      if (event.__typename === "ReplyEnded") {
        apollo.cache.writeFragment({ fragment: MESSAGE, data: event.reply });
      }
    }),
  );
}

export class BrokenSequence extends Error {
  constructor(seen: number, received: number) {
    super(`Event ${received} came after event ${seen}.`);
  }
}
