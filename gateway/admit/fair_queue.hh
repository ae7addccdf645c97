// FairQueue: who of the calls that wait gets the next place, where places are few: start-time fair queueing (Goyal, Vin,
// Cheng 1996), once at each level: between tenants by their weights, in a tenant between projects, in a project between
// keys, under a key between tiers. Shares are of what calls ask for (their cost), not of their number.
// Sans-I/O and not thread-safe; a call that waits too long is taken out by whoever keeps the time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/time.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::admit {

class FairQueue {
 public:
  struct Share {
    std::uint32_t weight = 1;     // ≥ 1
    std::uint32_t max_calls = 0;  // at once; 0: no limit of its own
  };
  struct Rules {
    std::uint32_t max_calls = 0;       // of all tenants at once; 0: no limit
    std::uint32_t max_waiting = 1024;  // of all tenants
    Share others{};                    // of tenants that are not named
    std::map<std::string, Share, std::less<>> tenants{};
  };
  struct Caller {
    std::string_view tenant, project, key;
    std::uint32_t key_max_calls = 0;  // 0: no limit
    ids::Tier tier = ids::Tier::Interactive;
    std::uint64_t cost = 1;  // what it asks for, in tokens; bounded to 1 … kMostCost
  };
  using Ticket = std::uint64_t;
  // Whose limit a call stands before.
  enum class Limit : std::uint8_t { Gateway, Tenant, Key };
  enum class Entry : std::uint8_t { Admitted, Waiting, Full };
  struct Entered {
    Entry entry = Entry::Full;
    Ticket ticket = 0;       // of what was admitted or waits
    std::size_t behind = 0;  // calls that waited already, of all tenants
    Limit limit = Limit::Gateway;
  };
  // With a place for it at once; else it waits. Full: nothing is kept of it. Where the room for waiting is used up, the
  // tenant that has most waiting for its weight loses its newest to a tenant that has less.
  Entered enter(const Caller& caller);

  struct Event {
    Ticket ticket = 0;
    bool admitted = false;  // else it lost its room to another tenant, and is gone
  };
  std::optional<Event> poll_event();

  // A call that waits goes away: its client left, or it waited too long. Answers whose limit it stood before.
  Limit leave(Ticket ticket);
  // An admitted call has ended. Its place goes to the next one.
  void finish(Ticket ticket, base::Time now);

  // How long until as many calls end as wait now, as they have ended of late; nullopt: none has ended yet.
  std::optional<base::Duration> clears_in() const;
  std::size_t waiting() const { return root_.waiting; }
  std::size_t running() const { return root_.running; }
  std::size_t nodes() const { return nodes_; }  // that are remembered: bounded by kRemembered beside calls

  explicit FairQueue(Rules rules);
  FairQueue(const FairQueue&) = delete;
  FairQueue& operator=(const FairQueue&) = delete;

  static constexpr std::uint64_t kMostCost = 1 << 20;
  static constexpr std::size_t kRemembered = 4096;
  // Within a key: critical before all, and yet none waits for ever.
  static constexpr std::array<std::uint32_t, ids::kTierCount> kTierWeight{64, 16, 4, 1};

 private:
  // Gateway, tenant, project, key or tier. `start`: when, in its parent's virtual time, its next call is due.
  struct Node {
    Node* parent = nullptr;
    std::string name{};
    Limit limit_of = Limit::Gateway;
    std::uint32_t weight = 1, max_running = 0;
    std::size_t running = 0, waiting = 0;
    std::uint64_t start = 0, now = 0;  // `now`: the virtual time among its children
    std::uint64_t order = 0;           // among equals: tiers by their rank, the others by age
    bool queued = false;               // it stands in its parent's `ready`
    std::map<std::string, std::unique_ptr<Node>, std::less<>> children{};
    std::set<std::pair<std::pair<std::uint64_t, std::uint64_t>, Node*>> ready{};  // (start, order)
    std::set<Ticket> queue{};                                                     // of a tier: oldest first

    bool has_room() const { return max_running == 0 || running < max_running; }
    bool idle() const { return running == 0 && waiting == 0; }
  };
  struct Call {
    Node* tier = nullptr;
    std::uint64_t cost = 1;
    bool running = false;
  };

  Node& child(Node& parent, std::string_view name, Limit limit_of);
  Node& tier_of(const Caller& caller);
  void settle_ready(Node& tier);
  void admit(Ticket ticket, Call& call);
  void admit_next();
  void wait_no_more(Ticket ticket, Node& tier);
  bool make_room(const Node& newcomer);
  void forget_idle();
  static const Node* full_above(const Node& tier);

  Rules rules_;
  Node root_{};
  std::size_t nodes_ = 0, sweep_at_ = kRemembered;
  std::uint64_t next_order_ = ids::kTierCount;
  Ticket next_ticket_ = 1;
  std::unordered_map<Ticket, Call> calls_;
  std::deque<Event> events_;
  std::optional<base::Time> last_end_;
  double gap_ns_ = 0;  // between calls' ends, smoothed; 0: none known
};

std::string_view to_string(FairQueue::Limit limit);

}  // namespace qanat::admit
