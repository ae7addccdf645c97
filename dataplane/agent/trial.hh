// Trial: the commit of a configuration on approval. A configuration that cuts a box off from its controller
// is undone. A new configuration is on trial until the controller was heard under it: a pong to a ping sent a
// second or more after applying, or a close or refusal by a controller's host, which shows just as well that
// the way there works. So a controller that dies never undoes anything; silence does: when no session could
// be had for 30 s while a configuration is unproven, the last proven one returns. Once for each
// configuration: when it is sent again, it stays.
#pragma once

#include <optional>

#include "base/time.hh"
#include "dataplane/agent/held_config.hh"

namespace qanat::agent {

class Trial {
 public:
  static constexpr base::Duration kSettle = std::chrono::seconds(1);     // proofs begin to count
  static constexpr base::Duration kPatience = std::chrono::seconds(30);  // without a session

  // `held` came into force now. Without a proven one before it there is nothing to return to, and no trial.
  void on_applied(const Held& held, base::Time now);
  // The start of a box: `proven` (may be empty) is what `held`, from disk, had not yet replaced for good.
  void resume(const Held& held, const Held& proven, base::Time now);

  // The controller, or its host, answered to something sent at `sent`. True when `current` is proven by it
  // and what is on disk should now be `current` alone.
  bool on_proof(base::Time sent);
  // The session ended without a sign from the other side; kept until on_session().
  void on_silence(base::Time now);
  // A session is up (again).
  void on_session() { silent_since_.reset(); }

  bool running() const { return candidate_.held != nullptr; }
  // The proven configuration to go back to, once it is time: the caller applies it, and it is no longer on
  // trial.
  Held poll_rollback(base::Time now);
  // When poll_rollback() should be asked again; nothing when there is no reason to.
  std::optional<base::Time> next_timeout() const;
  const Held& proven() const { return proven_; }

 private:
  struct Unproven {
    Held held;
    base::Time since{};
  };

  Held proven_;
  // The oldest unproven one, and the one in force when that is newer: under a stream of versions each is
  // proven by what comes after it, so the fallback is never more than two proofs old.
  Unproven candidate_;
  Unproven current_;
  std::optional<base::Time> silent_since_;
  ConfigVersion undone_{};  // the newest that was rolled back: not again
};

}  // namespace qanat::agent
