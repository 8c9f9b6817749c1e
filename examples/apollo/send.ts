/** Sends a question once, however often its answer is lost. */

import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { ApolloClient } from "@apollo/client";
import { SEND, type SendResult } from "./operations.js";
import { ATTEMPTS, isWorthRepeating, pause } from "./retry.js";

export type SendOptions = {
  sessionId?: string | undefined;
  /** Told before each further attempt why the one before gave no answer. */
  onRepeat?: (reason: Error) => void;
};

/** The stored question's session and reply, or the problem that the person should be told about. */
export async function sendQuestion(
  apollo: ApolloClient,
  content: string,
  { sessionId, onRepeat }: SendOptions = {},
): Promise<SendResult> {
  // Made once for the question: a second attempt with the same key gives the same reply.
  const input = { content, clientKey: randomUUID(), ...(sessionId && { sessionId }) };
  for (let failures = 1; ; failures += 1) {
    try {
      const { data } = await apollo.mutate({ mutation: SEND, variables: { input } });
      const result = data!.sendMessage;
      if (result.__typename !== "RateLimited" || failures >= ATTEMPTS) return result;
      onRepeat?.(new Error(result.message));
      await setTimeout(1000 * result.retryAfterSeconds + pause(failures));
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error));
      if (!isWorthRepeating(reason) || failures >= ATTEMPTS) throw reason;
      onRepeat?.(reason);
      await setTimeout(pause(failures, reason));
    }
  }
}
