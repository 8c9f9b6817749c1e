/** Asks a question, follows the reply through a lost connection, and pages through the history. */

import { parseArgs } from "node:util";
import { lastValueFrom, tap } from "rxjs";
import { type ChatClient, createChatClient } from "./client.js";
import { followReply } from "./follow.js";
import { type Direction, loadAll } from "./history.js";
import { LOGIN, type Message, MESSAGES, REGISTER, SESSIONS } from "./operations.js";
import { sendQuestion } from "./send.js";

const USAGE =
  "npm start -- --email ADDRESS --password PASSWORD --question QUESTION\n" +
  "    [--url http://localhost:8000/graphql] [--session ID] [--drop-after EVENTS] [--expire-token]";

/** Something that the person at the terminal can understand and change. */
class Failure extends Error {}

/** What is not part of the answer goes to standard error. */
const note = (text: string) => process.stderr.write(`-- ${text}\n`);
const print = (text = "") => process.stdout.write(`${text}\n`);

async function logIn({ apollo, login }: ChatClient, email: string, password: string): Promise<void> {
  const variables = { email, password };
  const attempt = async () => (await apollo.mutate({ mutation: LOGIN, variables })).data!.login;

  let result = await attempt();
  if (result.__typename === "InvalidCredentials") {
    const { register } = (await apollo.mutate({ mutation: REGISTER, variables })).data!;
    if (register.__typename !== "Registration") throw new Failure(register.message);
    if (register.verificationRequired) {
      throw new Failure("Confirm the address with the link in the mail, then run this again.");
    }
    // The answer to a registration does not tell whether the address was new: the login does.
    result = await attempt();
    if (result.__typename === "AuthTokens") note(`registered ${email}`);
  }
  if (result.__typename !== "AuthTokens") throw new Failure(result.message);
  login.begin(result);
  note(`logged in as ${email}`);
}

async function send({ apollo }: ChatClient, content: string, sessionId?: string) {
  const sent = await sendQuestion(apollo, content, {
    sessionId,
    onRepeat: (reason) => note(`sending again (${reason.message.trim()})`),
  });
  if (sent.__typename !== "SendMessagePayload") throw new Failure(sent.message);
  return { sessionId: sent.session.id, replyId: sent.reply.id };
}

async function follow(chat: ChatClient, replyId: string, dropAfter: number): Promise<Message> {
  const joined: string[] = [];
  let resumed = false;
  const events = followReply(chat.apollo, replyId, {
    onResume: (after, reason) => {
      resumed = true;
      note(`resuming after event ${after} (${reason.message.trim()})`);
    },
  }).pipe(
    tap((event) => {
      if (event.__typename === "TextDelta") {
        joined.push(event.text);
        process.stdout.write(event.text);
      }
      if (event.seq === dropAfter && event.__typename !== "ReplyEnded") {
        note(`cutting the connection after event ${event.seq}`);
        chat.cutConnection();
      }
    }),
  );

  const last = await lastValueFrom(events);
  print();
  if (last.__typename !== "ReplyEnded") throw new Failure("The reply did not end.");
  const { reply } = last;
  if (reply.status !== "COMPLETE") throw new Failure(reply.failure ?? `The reply is ${reply.status}.`);
  if (!Buffer.from(joined.join("")).equals(Buffer.from(reply.content))) {
    throw new Failure("The pieces of the reply are not its content.");
  }
  if (dropAfter > 0 && !resumed) {
    throw new Failure(`The reply ended after ${last.seq} events: choose a smaller --drop-after.`);
  }
  note(`${last.seq} events without a gap, and their text is the reply, byte for byte`);
  return reply;
}

function printSources(reply: Message): void {
  if (!reply.grounded) print("\nThe documents do not cover this question.");
  for (const { number, title, quote } of reply.citations) {
    print(`\n[${number}] ${title}\n    ${quote.replaceAll("\n", "\n    ")}`);
  }
}

async function printHistory({ apollo }: ChatClient, sessionId: string): Promise<void> {
  const size = 5;
  const paging = (direction: Direction, pages: number[]) => ({
    direction,
    size,
    onPage: (page: unknown[]) => pages.push(page.length),
  });

  for (const direction of ["forward", "backward"] as const) {
    const pages: number[] = [];
    const sessions = await loadAll(
      apollo, SESSIONS, {}, (data) => data.sessions, paging(direction, pages),
    );
    print(`\nConversations, ${direction}: ${sessions.length} in pages of ${pages.join(" + ")}`);
    for (const { title } of sessions) print(`  ${title}`);
  }

  for (const direction of ["forward", "backward"] as const) {
    const pages: number[] = [];
    const messages = await loadAll(
      apollo,
      MESSAGES,
      { id: sessionId },
      (data) => {
        if (!data.session) throw new Failure("The conversation does not exist.");
        return data.session.messages;
      },
      paging(direction, pages),
    );
    print(`\nMessages, ${direction}: ${messages.length} in pages of ${pages.join(" + ")}`);
    for (const { role, content } of messages) {
      print(`  ${role === "USER" ? "Q" : "A"}: ${content.split("\n")[0]!.slice(0, 70)}`);
    }
  }
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      url: { type: "string", default: "http://localhost:8000/graphql" },
      email: { type: "string" },
      password: { type: "string" },
      question: { type: "string" },
      session: { type: "string" },
      "drop-after": { type: "string", default: "4" },
      "expire-token": { type: "boolean", default: false },
    },
  });
  const { url, email, password, question, session } = options;
  const dropAfter = Number(options["drop-after"]);
  if (!email || !password || !question || !Number.isInteger(dropAfter) || dropAfter < 0) {
    throw new Failure(`Usage: ${USAGE}`);
  }

  const chat = createChatClient(url);
  try {
    await logIn(chat, email, password);
    // Shows what happens when the access token has run out, first over HTTP, then at the socket.
    if (options["expire-token"]) chat.login.spoil();
    const { sessionId, replyId } = await send(chat, question, session);
    if (options["expire-token"]) chat.login.spoil();
    printSources(await follow(chat, replyId, dropAfter));
    await printHistory(chat, sessionId);
  } finally {
    chat.close();
  }
}

try {
  await main();
} catch (error) {
  const reason = error instanceof Error ? error : new Error(String(error));
  // fetch() hides why it failed in `cause`.
  const cause = reason.cause instanceof Error ? ` (${reason.cause.message})` : "";
  process.stderr.write(`Error: ${reason.message}${cause}\n`);
  process.exitCode = 1;
}
