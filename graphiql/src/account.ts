/** Who is signed in on this page. Kept for this browser tab only, never in localStorage. */
export type Session = { accessToken: string; email: string | null };

/** What the bar at the top shows. `refused`: the server stopped accepting the session's token. */
export type AccountState = { session: Session | null; refused: boolean };

const STORAGE_KEY = 'groundql:session';

export class Account {
  #state: AccountState = { session: stored(), refused: false };
  readonly #listeners = new Set<() => void>();

  // Arrow functions, because React's useSyncExternalStore calls them without `this`.
  readonly state = (): AccountState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Sign in or out if a root field of `data`, the answer to a request with `token`, says so. */
  learnFrom(data: unknown, token: string | undefined): void {
    if (!isRecord(data)) return;
    for (const [name, value] of Object.entries(data)) {
      if (!isRecord(value)) continue;
      if (typeof value.accessToken === 'string' && typeof value.refreshToken === 'string') {
        const email = isRecord(value.user) ? value.user.email : this.#state.session?.email;
        this.#change({
          session: { accessToken: value.accessToken, email: typeof email === 'string' ? email : null },
          refused: false,
        });
      } else if (name === 'logout' && value.ok === true && token === this.#state.session?.accessToken) {
        this.signOut();
      }
    }
  }

  signOut(): void {
    this.#change({ session: null, refused: false });
  }

  /** The server did not accept `accessToken`: stop sending it, unless a newer one took its place. */
  drop(accessToken: string): void {
    if (this.#state.session?.accessToken === accessToken) this.#change({ session: null, refused: true });
  }

  #change(state: AccountState): void {
    this.#state = state;
    if (state.session) sessionStorage.setItem(STORAGE_KEY, JSON.stringify(state.session));
    else sessionStorage.removeItem(STORAGE_KEY);
    for (const listener of this.#listeners) listener();
  }
}

function stored(): Session | null {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(STORAGE_KEY) ?? 'null');
    if (!isRecord(value) || typeof value.accessToken !== 'string') return null;
    return { accessToken: value.accessToken, email: typeof value.email === 'string' ? value.email : null };
  } catch {
    return null;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
