// Canary: some boxes hold a new configuration, the others are held back, and how the first fare is compared with how they
// did before. What became worse for those that were held back as well is not the configuration's fault. A value.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/session/canary.hh"
#include "controller/session/level.hh"
#include "controller/telemetry/vitals.hh"

namespace qanat::domain {

// What is worse in `now` than in `before`; nothing: nothing is. More than 5 % of the paths in use died, loss rose by 1 %, the
// round trip by half and 5 ms, or twice as many packets and 5 a second more are dropped (means over paths, over boxes).
std::optional<std::string> worse(const telemetry::Vitals& before, const telemetry::Vitals& now);

class Canary {
 public:
  using State = session::CanaryView::State;
  static constexpr base::Duration kLost = std::chrono::seconds(3);  // a session that is away longer is lost

  explicit Canary(session::CanaryPlan plan) : plan_(std::move(plan)) {}
  const session::CanaryPlan& plan() const { return plan_; }

  // Of those that the change concerns; all of `named` instead where the plan has names. Nobody: passed.
  void choose(std::vector<session::MemberId> concerned, const std::set<session::MemberId>& named,
              session::Now now);
  const std::set<session::MemberId>& chosen() const { return chosen_; }
  bool holds_back(session::MemberId member) const { return !chosen_.contains(member); }
  base::Time began() const { return began_; }
  base::UnixSeconds until_unix_s() const { return until_unix_s_; }

  // What is seen of a canary at the moment.
  struct Seen {
    std::string name;
    bool connected = false;
    bool acknowledged = false;  // what it was told last
  };
  void on_seen(session::MemberId member, const Seen& seen, base::Time now);
  // A canary's own word: it cannot use what it was told.
  void on_refused(const std::string& name, const std::string& why);
  struct Compared {
    telemetry::Vitals before, now;
  };
  // After everybody was seen.
  void judge(const Compared& canaries, const Compared& rest, base::Time now);

  State state() const { return state_; }
  const std::vector<std::string>& faults() const { return faults_; }

 private:
  void fail(std::string why);

  session::CanaryPlan plan_;
  std::set<session::MemberId> chosen_;
  std::map<session::MemberId, base::Time> away_;
  std::vector<std::string> unacknowledged_;  // of the last look
  base::Time began_{};
  base::Time until_{};
  base::UnixSeconds until_unix_s_ = 0;
  State state_ = State::Running;
  std::vector<std::string> faults_;
};

}  // namespace qanat::domain
