// Whatever happens to a domain, in whatever order: no node ever holds a list with a relay that is not ready for it, a loop, or
// too many relays; (epoch, version) only grow, over restarts too; and the same events give the same lists.
#include <filesystem>
#include <random>

#include "controller/paths/segment_route.hh"
#include "tests/unit/controller/domain_world.hh"

namespace qanat {
namespace {

constexpr int kBoxes = 6;
constexpr int kSteps = 250;

class History {
 public:
  History(std::uint32_t seed, std::string file) : random_(seed), file_(std::move(file)) {
    domain_ = std::make_unique<DomainWorld>(1, now_, file_);
    for (int i = 0; i < kBoxes; ++i) boxes_.emplace_back("box" + std::to_string(i), i < 3);
    for (Box& box : boxes_) {
      domain_->enrol(box);
      domain_->connect(box);
    }
    for (int a = 0; a < kBoxes; ++a)
      for (int b = 0; b < kBoxes; ++b) rtt_[{a, b}] = 5'000 + random_() % 60'000;
  }

  void run() {
    for (int step = 0; step < kSteps && !::testing::Test::HasFatalFailure(); ++step) {
      happen();
      now_.mono += 100ms;
      for (int a = 0; a < kBoxes; ++a)
        for (int b = 0; b < kBoxes; ++b)
          if (a != b && connected_[a] && random_() % 3 == 0)
            domain_->measure(boxes_[a], boxes_[b].id, rtt_[{a, b}], rtt_[{a, b}] != 0);
      domain_->level->on_timer(now_);
      for (int i = 0; i < kBoxes; ++i)
        if (connected_[i] && random_() % 4 != 0) deliver(i);  // else later: acks come late and out of step
    }
  }
  const std::string& trace() const { return trace_; }
  int lists() const { return lists_; }
  int restarts() const { return restarts_; }

 private:
  void happen() {
    const int one = static_cast<int>(random_() % kBoxes), other = static_cast<int>(random_() % kBoxes);
    switch (random_() % 12) {
      case 0: rtt_[{one, other}] = 0; break;  // dead
      case 1:
      case 2: rtt_[{one, other}] = 1'000 + random_() % 90'000; break;
      case 3:
        connected_[one] = false;
        domain_->members.out.erase(boxes_[one].id);
        domain_->level->on_closed(boxes_[one].id, now_);
        break;
      case 4:
      case 5:
      case 6:
        if (!connected_[one]) {
          connected_[one] = true;
          domain_->connect(boxes_[one]);
        }
        break;
      case 7: {
        policy::Rules rules;
        const auto mode = random_() % 2 == 0 ? policy::DrainMode::Soft : policy::DrainMode::Hard;
        if (random_() % 2 == 0) rules.drains.push_back({"box" + std::to_string(one), mode, 0, 0});
        if (random_() % 2 == 0 && one != other)
          rules.routes.push_back({"box3", "box4", {"box" + std::to_string(one % 3)}, true, {}});
        domain_->level->set_rules(rules, now_);
        break;
      }
      case 8: now_.unix_s += random_() % (2 * policy::kDay); break;  // keys and tokens change weeks
      case 9:
        if (random_() % 8 != 0) break;
        ++restarts_;
        domain_.reset();
        domain_ = std::make_unique<DomainWorld>(1, now_, file_);
        std::fill(std::begin(connected_), std::end(connected_), false);
        break;
      default: break;
    }
  }

  void deliver(int i) {
    Box& box = boxes_[i];
    const std::pair before{box.held.epoch(), box.held.version()};
    const bool waiting = !domain_->members.out[box.id].empty();
    domain_->deliver(box);
    if (!waiting) return;
    const std::pair after{box.held.epoch(), box.held.version()};
    ASSERT_GE(after, before) << box.name;
    if (after == before) return;
    for (const auto& policy : box.held.policies()) judge(box, policy);
    trace_ += box.name + " " + std::to_string(after.second) + "\n";
  }

  void judge(const Box& box, const proto::v1::SrPolicy& policy) {
    for (const auto& path : policy.paths()) {
      // Rather an old list than none: one that has expired opens no relay, and its key may be gone.
      if (path.expires_unix_s() != 0 && path.expires_unix_s() <= now_.unix_s) continue;
      ++lists_;
      const std::vector<std::uint32_t> segments(path.segments().begin(), path.segments().end());
      paths::Route route;
      ASSERT_TRUE(paths::route_of(segments, static_cast<std::uint8_t>(path.first_plane()),
                                  ids::NodeId{policy.endpoint()}, route))
          << "more than two relays, or not ours";
      std::set<std::uint32_t> seen{box.id, policy.endpoint()};
      for (std::size_t hop = 0; hop < route.relay_count; ++hop) {
        const std::uint32_t relay = route.relays[hop].value;
        ASSERT_TRUE(seen.insert(relay).second) << "a loop";
        const auto at =
            std::find_if(boxes_.begin(), boxes_.end(), [&](const Box& b) { return b.id == relay; });
        ASSERT_TRUE(at != boxes_.end() && at->relay) << "no relay of this domain";
        const std::uint32_t previous = hop == 0 ? box.id : route.relays[hop - 1].value;
        const std::uint32_t next =
            hop + 1 < route.relay_count ? route.relays[hop + 1].value : policy.endpoint();
        ASSERT_TRUE(
            domain::relay_ready(at->held, previous, next, static_cast<std::uint8_t>(path.token_epoch())))
            << "expires in " << path.expires_unix_s() - now_.unix_s << " s, epoch " << path.token_epoch()
            << ", keys " << at->held.relay_keys_size() << ", nodes " << at->held.nodes_size() << ": "
            << box.name << " was given a list over " << at->name << ", which is not ready for it";
        trace_ += std::to_string(relay) + ",";
      }
      trace_ += std::to_string(policy.endpoint()) + " ";
    }
  }

  std::mt19937 random_;
  std::string file_;
  Now now_{base::Time{} + 1000s, 1'800'000'000};
  std::unique_ptr<DomainWorld> domain_;
  std::vector<Box> boxes_;
  bool connected_[kBoxes] = {true, true, true, true, true, true};
  std::map<std::pair<int, int>, std::uint32_t> rtt_;
  std::string trace_;
  int lists_ = 0;
  int restarts_ = 0;
};

TEST(RolloutProperty, NoListIsEverUnsoundAndTheSameEventsGiveTheSameLists) {
  int lists = 0, restarts = 0;
  for (const std::uint32_t seed : {1u, 2u, 3u}) {
    std::string first;
    for (int time = 0; time < 2; ++time) {
      // In memory: every push is a transaction that is synced.
      const std::string file = "/dev/shm/qanat_history_" + std::to_string(::getpid()) + ".db";
      {
        History history(seed, file);
        history.run();
        if (HasFatalFailure()) return;
        lists += history.lists();
        restarts += history.restarts();
        if (time == 0) first = history.trace();
        EXPECT_EQ(history.trace(), first) << "seed " << seed;
      }
      for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(file + suffix);
    }
  }
  EXPECT_GT(lists, 5'000);
  EXPECT_GT(restarts, 2);
}

}  // namespace
}  // namespace qanat
