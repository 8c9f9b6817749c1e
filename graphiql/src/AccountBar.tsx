import { useSyncExternalStore } from 'react';
import type { Account } from './account';

export function AccountBar({ account, onSignOut }: { account: Account; onSignOut: () => void }) {
  const { session, refused } = useSyncExternalStore(account.subscribe, account.state);
  return (
    <header className="account-bar" role="status" aria-label="Account">
      {session ? (
        <>
          <span>
            Signed in{session.email && ` as ${session.email}`} — the token goes along with every request
          </span>
          <button type="button" onClick={onSignOut}>
            Sign out
          </button>
        </>
      ) : refused ? (
        'The server no longer accepts the sign-in. Run the tab “Login” again.'
      ) : (
        'Not signed in. Run the tabs from left to right: Register, VerifyEmail, Login, …'
      )}
    </header>
  );
}
