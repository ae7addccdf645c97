// Intents: the state that operators want, its versions, and putting one into force. Every change makes a version, and every
// version can be had again. A version is on disk before anything of it happens; a controller that ended in between does the
// rest when it starts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "controller/northbound/intent.hh"

namespace qanat::store {
class Store;
}

namespace qanat::northbound {

// Who asks, as it is kept: a token's name, and from where.
struct By {
  std::string who;
  std::string from;
};

struct Applied {
  std::uint64_t version = 0;  // in force now
  bool changed = false;       // false: a dry run, or there was nothing to do
  std::vector<Difference> differences;
};

struct VersionView {
  std::uint64_t version = 0;
  base::UnixSeconds unix_s = 0;
  By by;
  std::string action;  // "apply", "tenant lab", "restore 3"
};

class Intents {
 public:
  static constexpr std::uint64_t kKept = 1000;  // versions
  // One tenant's change is kept as that change; so often, and of everything else, the whole document is.
  static constexpr std::uint64_t kWholeEvery = 64;

  // Both outlive it. Puts the newest version's rules into force, and what of its tenants is not yet.
  Intents(session::Level& level, store::Store& store, session::Now now);

  // Tenants as the level has them, without those from above, and the rules.
  Intent current() const;
  std::uint64_t version() const { return version_; }

  enum class Run { Dry, Real };
  struct Conflict {
    std::uint64_t in_force = 0;
  };
  // What a freeze refuses: every change but to the freezes themselves.
  struct Frozen {
    base::UnixSeconds until = 0;
    std::string why;
  };
  // What a canary refuses while it is under way: every change.
  struct Watched {
    std::uint64_t version = 0;
  };
  using Outcome = std::variant<Applied, Problems, Conflict, Frozen, Watched>;
  std::optional<Frozen> frozen(session::Now now) const;
  // With a plan: some boxes get it first, and settle() says what came of it.
  Outcome apply(const Wanted& wanted, Run run, const std::string& action, const By& by, session::Now now,
                const session::CanaryPlan* plan = nullptr);
  // The whole of an earlier version; Problems with nothing in them: it is not kept.
  Outcome restore(std::uint64_t version, Run run, const By& by, session::Now now);
  Outcome put_tenant(const session::TenantView& tenant, const By& by, session::Now now);
  // Problems with nothing in them: no such tenant here.
  Outcome remove_tenant(const std::string& name, const By& by, session::Now now);

  // What came of a version that some boxes got first.
  struct Settled {
    std::uint64_t version = 0;
    bool passed = false;         // false: taken back
    std::uint64_t in_force = 0;  // that version, or the one that says what the one before it said
    std::vector<std::string> faults;
  };
  // When its time is up or it failed; goes to all or is taken back. To be called often.
  std::optional<Settled> settle(session::Now now);
  // An operator does not wait for that; nothing: none is under way.
  std::optional<Settled> settle_at_once(session::CanaryEnd end, const By& by, session::Now now);
  // Of the version that some boxes have; 0: none.
  std::uint64_t watched() const { return watched_; }

  // Newest first, below `before` (0: from the newest).
  std::vector<VersionView> versions(std::uint64_t before, std::size_t limit) const;
  // A version's record as JSON with its intent; empty: not kept.
  std::string record(std::uint64_t version) const;

 private:
  void read_head();
  Outcome move_to(Intent next, Run run, const std::string& action, const By& by, session::Now now,
                  const session::CanaryPlan* plan = nullptr);
  Settled end(session::CanaryEnd end, std::vector<std::string> faults, const By& by, session::Now now);
  std::optional<Intent> intent_of(std::uint64_t version) const;
  bool needs_whole() const;
  void keep(const std::string& key, const std::string& json, const std::string& action, const By& by,
            session::Now now, bool watched = false);
  void enact(const Intent& next, session::Now now);

  session::Level& level_;
  store::Store& store_;
  std::uint64_t version_ = 0;
  std::uint64_t watched_ = 0;
  policy::Rules rules_;
};

}  // namespace qanat::northbound
