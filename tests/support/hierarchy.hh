// Hierarchy: a global level, its domains and their boxes in virtual time: the real cores of both levels, real keys and
// signatures; boxes apply what they are told by a node's own rules and report round trips of a matrix.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "controller/global/global.hh"
#include "tests/unit/controller/domain_world.hh"

namespace qanat::test {

struct HierarchyShape {
  std::uint32_t domains = 10;
  std::uint32_t per_domain = 100;
  std::uint32_t relays = 6;   // the first ones of each domain
  std::uint32_t tenant = 10;  // members, half of them of one domain; as many tenants as fill all nodes once
  std::uint32_t seed = 1;
  std::size_t nodes() const { return std::size_t{domains} * per_domain; }
};

// What calls of one level took on this thread, in ms of CPU time.
struct Calls {
  double all_ms = 0, most_ms = 0;
  std::size_t count = 0;
  void add(double ms) {
    all_ms += ms;
    most_ms = std::max(most_ms, ms);
    ++count;
  }
};

class Hierarchy {
 public:
  // Round trip between two boxes, by their places 0 … nodes() − 1; a domain's lie next to each other.
  using Rtt = std::function<std::uint32_t(std::size_t from, std::size_t to)>;

  Hierarchy(const HierarchyShape& shape, Rtt rtt_us);
  ~Hierarchy();

  void run(base::Duration time);
  // The box at this place, and back.
  const Box& box(std::size_t place) const { return *boxes_[place].box; }
  std::size_t place_of(std::uint32_t node) const { return places_.at(node); }
  // Places of boxes of different domains that share a tenant.
  const std::set<std::pair<std::size_t, std::size_t>>& pairs() const { return pairs_; }
  global::Global& global() { return *global_; }
  Now now() const { return now_; }
  // Forgets what calls took until now.
  void count_anew() {
    ticks = reports = directives = domain_ticks = {};
    report_bytes = directive_bytes = 0;
  }

  Calls ticks;         // of the global level
  Calls reports;       // of the global level, of one domain each
  Calls directives;    // of domains: taking one
  Calls domain_ticks;  // of each domain
  std::uint64_t report_bytes = 0, directive_bytes = 0;
  std::uint64_t lists_installed = 0;  // over relays, as boxes took them
  std::uint64_t lists_unready = 0;    // of them: a relay did not hold what it needs for it

  // What the global level holds on the heap; it is gone then.
  std::int64_t weigh_global();

 private:
  struct Placed {
    std::unique_ptr<Box> box;
    std::uint64_t version = 0;  // of what it holds
    int known = 0;              // nodes it holds
    base::Time reports_at{};
    int hurried = 0;  // reports that are due soon, because it knows others
  };
  void enrol();
  void make_tenants();
  void exchange(std::uint32_t domain);
  void step(std::size_t place);
  void check_lists(const Box& box);
  void report(Placed& placed, std::size_t place);
  template <class F>
  void charge(Calls& to, F&& call);

  HierarchyShape shape_;
  Rtt rtt_us_;
  Now now_{base::Time{} + std::chrono::seconds(1000), 1'800'000'000};
  store::SqliteStore store_{":memory:"};
  session::Authority authority_{store_, "global", now_.unix_s};
  Mailbox up_;
  std::unique_ptr<global::Global> global_;
  std::vector<std::unique_ptr<DomainWorld>> domains_;  // number − 1
  std::vector<Placed> boxes_;
  std::map<std::uint32_t, std::size_t> places_;
  std::set<std::pair<std::size_t, std::size_t>> pairs_;
  base::Time next_exchange_{};
};

}  // namespace qanat::test
