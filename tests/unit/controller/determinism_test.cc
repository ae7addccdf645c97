// The same tick log gives the same bytes to every box: a domain's state is copied, and what copies say to boxes that are told
// the same at the same ticks is compared, signatures included, while real threads plan their traffic as fast as they happen to.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <random>
#include <thread>

#include "tests/unit/controller/traffic_world.hh"

namespace qanat::domain {
namespace {

// What boxes say in one tick: to whom they measured what, and what their tenants ask for.
struct Tick {
  struct Measured {
    std::size_t from, to;
    std::uint32_t rtt_us;
    bool alive;
  };
  struct Asked {
    std::size_t from, to;
    std::uint32_t tier, kbps;
  };
  std::vector<Measured> measured;
  std::vector<Asked> asked;
};

// Five boxes, two of them relays with narrow lines; demand comes, grows beyond them, moves and ends, and links come and go.
std::vector<Tick> random_log(std::uint32_t seed) {
  constexpr std::size_t kBoxes = 5, kTicks = 600;
  std::mt19937 random(seed);
  std::vector<Tick> log(kTicks);
  std::uint32_t rtt[kBoxes][kBoxes] = {};
  bool alive[kBoxes][kBoxes] = {};
  for (std::size_t t = 0; t < kTicks; ++t) {
    for (std::size_t a = 0; a < kBoxes; ++a)
      for (std::size_t b = a + 1; b < kBoxes; ++b) {
        if (t == 0 || random() % 40 == 0) rtt[a][b] = (b >= 3 ? 10'000 : 60'000) + random() % 30'000;
        if (t == 0 || random() % 300 == 0) alive[a][b] = t == 0 || random() % 3 != 0;
        log[t].measured.push_back({a, b, rtt[a][b], alive[a][b]});
      }
    if (t % 50 != 0) continue;
    for (std::size_t from = 0; from < 3; ++from)
      log[t].asked.push_back({.from = from,
                              .to = (from + 1 + random() % 2) % 3,
                              .tier = static_cast<std::uint32_t>(2 + random() % 2),
                              .kbps = static_cast<std::uint32_t>(random() % 90'000)});
  }
  return log;
}

// One plan at a time, on a thread that begins and has ended so many ticks after the plan was asked for.
class Planner {
 public:
  using Ticks = std::function<int()>;
  Planner(Ticks begin, Ticks end) : begin_(std::move(begin)), end_(std::move(end)) {}
  ~Planner() { join(); }
  void plan(std::function<void()> work) {
    ASSERT_FALSE(work_ || thread_.joinable()) << "one at a time";
    ++plans;
    work_ = std::move(work);
    begins_in_ = begin_();
    ends_in_ = std::max(begins_in_, end_());
    if (begins_in_ == 0) begin();
  }
  void on_tick() {
    if (begins_in_-- == 1) begin();
    if (ends_in_-- == 1) join();
  }
  int plans = 0;

 private:
  void begin() { thread_ = std::thread(std::exchange(work_, nullptr)); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  Ticks begin_, end_;
  std::function<void()> work_;
  std::thread thread_;
  int begins_in_ = 0, ends_in_ = 0;
};

class Determinism : public ::testing::Test {
 protected:
  struct Played {
    std::vector<std::string> bytes;  // by tick, to all boxes
    std::size_t splits = 0;          // ticks in which flows were split
    std::uint64_t late = 0;
    int plans = 0;
    bool operator==(const Played& other) const { return bytes == other.bytes; }
  };

  Determinism() {
    Now now = kBegin;
    DomainWorld world(1, now, file_);
    for (Box& box : boxes_) world.enrol(box);
  }
  ~Determinism() override {
    for (const std::string& name : {file_, copy_}) std::filesystem::remove(name);
  }

  // Without a planner plans are ready at once.
  Played play(const std::vector<Tick>& log, Planner* planner = nullptr) const {
    std::filesystem::copy_file(file_, copy_, std::filesystem::copy_options::overwrite_existing);
    Now now = kBegin;
    DomainWorld world(1, now, copy_);
    DomainConfig config{.name = "d1", .domain = 1, .probe_plan = {}};
    if (planner != nullptr)
      config.planning.elsewhere = [planner](std::function<void()> work) { planner->plan(std::move(work)); };
    world.level = std::make_unique<Domain>(config, world.store, world.authority, world.members, now);
    world.members.level = world.level.get();
    std::vector<Box> boxes = boxes_;
    rule(world);
    for (Box& box : boxes) world.connect(box);
    for (std::size_t box : {3u, 4u}) narrow(world, boxes[box]);
    Played out;
    for (const Tick& tick : log) {
      now.mono += 100ms;
      for (const auto& m : tick.measured) world.measure(boxes[m.from], boxes[m.to].id, m.rtt_us, m.alive);
      for (const auto& a : tick.asked) ask(world, boxes[a.from], boxes[a.to].id, a);
      if (planner != nullptr) planner->on_tick();
      world.level->on_timer(now);
      std::string& bytes = out.bytes.emplace_back();
      for (Box& box : boxes) {
        for (const Envelope& e : world.members.out[box.id]) bytes += box.name + e.SerializeAsString();
        world.deliver(box);
      }
      out.splits += world.level->traffic().spread != 0;
    }
    out.late = world.level->traffic().late_plans;
    if (planner != nullptr) out.plans = planner->plans;
    return out;
  }

 private:
  static constexpr Now kBegin{base::Time{} + 1000s, 1'800'000'000};
  // Bulk has lists of its own, and interactive now and then a way.
  static void rule(DomainWorld& world) {
    session::TenantView tenant{.name = "lab", .vni = 100, .members = {}};
    for (const char* box : {"a", "b", "c"}) tenant.members.push_back({box, {}, {}});
    ASSERT_TRUE(world.level->put_tenant(tenant, world.now).empty());
    policy::Rules rules;
    rules.limits = {{.tenant = "lab", .tier = Tier::Bulk, .planes = {1}}};
    rules.slas = {{.tenant = "lab", .tier = Tier::Interactive, .most_rtt_us = 35'000}};
    world.level->set_rules(rules, world.now);
  }
  static void narrow(DomainWorld& world, const Box& box) {
    Envelope e;
    auto& line = *e.mutable_telemetry()->add_lines();
    line.set_plane(1);
    line.set_rate_kbps(60'000);
    world.level->on_envelope(box.id, e, world.now);
  }
  static void ask(DomainWorld& world, const Box& box, std::uint32_t peer, const Tick::Asked& asked) {
    Envelope e;
    auto& demand = *e.mutable_telemetry()->add_demands();
    demand.set_peer(peer);
    demand.set_tier(asked.tier);
    demand.set_kbps(asked.kbps);
    demand.set_packet_bytes(1400);
    world.level->on_envelope(box.id, e, world.now);
  }

  const std::string file_ = ::testing::TempDir() + "qanat_ticks_" + std::to_string(::getpid()) + ".db";
  const std::string copy_ = file_ + "-copy";
  std::vector<Box> boxes_{Box("a"), Box("b"), Box("c"), Box("relay1", true), Box("relay2", true)};
};

constexpr int kInTime = PlanRun::kTime / 100ms;
constexpr int kNextTime = (PlanRun::kTime + PlanRun::kEvery) / 100ms;

TEST_F(Determinism, TheSameTicksGiveTheSameBytesHoweverFastPlansAreMade) {
  for (const std::uint32_t seed : {1u, 2u}) {
    const auto log = random_log(seed);
    const Played at_once = play(log);
    EXPECT_GT(at_once.splits, log.size() / 10) << "there is something to plan";
    std::mt19937 random(seed);
    for (int run = 0; run < 2; ++run) {
      Planner planner([] { return 0; }, [&] { return 1 + static_cast<int>(random() % kInTime); });
      const Played threaded = play(log, &planner);
      EXPECT_EQ(threaded, at_once) << "seed " << seed;
      EXPECT_GT(threaded.plans, 10);
      EXPECT_EQ(threaded.late, 0u);
    }
    EXPECT_NE(play(random_log(seed + 10)), at_once);
  }
}

TEST_F(Determinism, PlansThatAreLateCountAtATickThatDoesNotDependOnHowLate) {
  const auto log = random_log(4);
  std::optional<Played> first;
  std::mt19937 random(4);
  for (int run = 0; run < 3; ++run) {
    const auto begin = [&] { return kInTime + 1 + static_cast<int>(random() % (kNextTime - kInTime - 1)); };
    Planner planner(begin, [] { return kNextTime; });
    const Played late = play(log, &planner);
    EXPECT_EQ(late.late, static_cast<std::uint64_t>(late.plans));
    EXPECT_GT(late.splits, 0u);
    if (!first) first = late;
    EXPECT_EQ(late, *first);
  }
}

}  // namespace
}  // namespace qanat::domain
