// Traffic across domains: the global level splits it, domains make room for it, and each goes on without the other.
#include <random>

#include "tests/unit/controller/traffic_world.hh"
#include "tests/unit/controller/two_domains.hh"

namespace qanat::domain {
namespace {

// city → far: over relay2, by its line on plane 1 first, then by that on plane 2, and directly. Between city and relay1 there
// is a second plane, too.
class AcrossTraffic : public TwoDomains {
 protected:
  struct Asked {
    DomainWorld* domain;
    const Box *from, *to;
    std::uint32_t kbps;
    Tier tier;
  };
  std::vector<Asked> asked_;
  base::Time told_{};

  void SetUp() override {
    TwoDomains::SetUp();
    for (DomainWorld* d : {&d1_, &d2_}) d->level->on_parent(true);
  }
  bool former_ = false;  // domain 2 is of the release before: it tells no traffic
  void edit(std::uint32_t domain, proto::v1::DomainReport& report) override {
    if (domain == 2 && former_) report.clear_traffic();
  }
  void each_tick() override {
    d1_.measure(city_, relay1_.id, 9'000, true, 2);
    d2_.measure(relay2_, far_.id, 14'000, true, 2);
    if (now_.mono - told_ < 5s) return;
    told_ = now_.mono;
    for (const Asked& a : asked_) {
      Envelope e;
      auto& demand = *e.mutable_telemetry()->add_demands();
      demand.set_peer(a.to->id);
      demand.set_tier(static_cast<std::uint32_t>(a.tier));
      demand.set_kbps(a.kbps);
      demand.set_packet_bytes(1400);
      a.domain->level->on_envelope(a.from->id, e, now_);
    }
  }
  void line(DomainWorld& domain, const Box& of, std::uint32_t kbps, std::uint32_t in_kbps = 0) {
    Envelope e;
    auto& line = *e.mutable_telemetry()->add_lines();
    line.set_plane(1);
    line.set_rate_kbps(kbps);
    line.set_rate_in_kbps(in_kbps);
    domain.level->on_envelope(of.id, e, now_);
  }
  static std::vector<std::uint32_t> weights(const Box& box, const Box& to, Tier tier = Tier::Bulk) {
    std::vector<std::uint32_t> out;
    if (const auto* policy = box.policy(to.id, tier))
      for (const auto& path : policy->paths()) out.push_back(path.weight());
    return out;
  }
  // To city's first list to far.
  double allocated_first() const {
    const auto paths = global_->paths({"city", "far", Tier::Bulk});
    return paths.empty() ? 0 : paths.front().allocated_bps;
  }
  // By weight, of what leaves on a plane.
  static std::uint32_t on_plane(const Box& box, const Box& to, std::uint32_t plane) {
    std::uint32_t out = 0;
    if (const auto* policy = box.policy(to.id, Tier::Bulk))
      for (const auto& path : policy->paths()) out += path.first_plane() == plane ? path.weight() : 0;
    return out;
  }
};

TEST_F(AcrossTraffic, IsSplitWhereAForeignRelaysLineIsTooNarrow) {
  line(d2_, relay2_, 50'000);
  run(20s);
  const std::vector<std::uint32_t> unsplit{1, 1, 1};
  ASSERT_EQ(weights(city_, far_), unsplit);
  asked_ = {{&d1_, &city_, &far_, 30'000, Tier::Bulk}};
  run(20s);
  EXPECT_EQ(weights(city_, far_), unsplit) << "there is room";
  EXPECT_EQ(global_->traffic().demands, 1u);
  asked_ = {{&d1_, &city_, &far_, 80'000, Tier::Bulk}};
  run(40s);
  const auto split = weights(city_, far_);
  ASSERT_EQ(split.size(), 3u);
  EXPECT_NEAR(split[0], 475, 60) << "45 to 50 of the 100 that 80 would like to be";
  EXPECT_EQ(split[0] + split[1] + split[2], Spread::kWhole);
  EXPECT_EQ(weights(city_, far_, Tier::Interactive), unsplit) << "did not ask";
  const auto traffic = global_->traffic();
  EXPECT_EQ(traffic.spread, 1u);
  EXPECT_NEAR(traffic.carried_bps, 80e6, 1e6);
  const double over_relay = allocated_first();
  EXPECT_LE(over_relay, 50e6 * 1.001);
  EXPECT_GE(over_relay, 40e6);

  // Nobody above: what was said stays.
  linked_ = false;
  run(40s);
  EXPECT_EQ(weights(city_, far_), split);
  linked_ = true;
  run(5s);

  // The global level starts anew: what it had pushed is what it holds.
  global_ = std::make_unique<global::Global>("global", store_, authority_, up_, now_);
  up_.level = global_.get();
  for (auto [d, number] : {std::pair{&d1_, 1u}, {&d2_, 2u}})
    global_->on_open(number, d->level->parent_hello(), now_);
  for (int i = 0; i < 20; ++i) {
    run(1s);
    EXPECT_NEAR(weights(city_, far_)[0], split[0], 2 * kGrain);
  }

  asked_.clear();
  run(120s);
  EXPECT_EQ(weights(city_, far_), unsplit) << "over";
  EXPECT_EQ(global_->traffic().demands, 0u);
}

// Both leave city by its line on plane 1; what stays inside has another plane, what goes out has none.
TEST_F(AcrossTraffic, InsideADomainMakesRoomForIt) {
  line(d1_, city_, 100'000);
  run(20s);
  asked_ = {{&d1_, &city_, &relay1_, 70'000, Tier::Bulk}};
  run(25s);
  EXPECT_EQ(on_plane(city_, relay1_, 2), weights(city_, relay1_).size() - 1) << "70 of 100: all by the first";
  asked_.push_back({&d1_, &city_, &far_, 70'000, Tier::Bulk});
  run(40s);
  EXPECT_GE(on_plane(city_, relay1_, 2), 200u) << "by the other plane, as far as there is no room";
  linked_ = false;
  run(30s);
  EXPECT_GE(on_plane(city_, relay1_, 2), 200u) << "with nobody above as well";
}

// What city sends to far takes a part of the line of a relay whose domain would not see it by itself.
TEST_F(AcrossTraffic, ADomainHearsWhatOthersSendThroughIt) {
  line(d2_, relay2_, 100'000);
  run(20s);
  asked_ = {{&d2_, &relay2_, &far_, 60'000, Tier::Bulk}};
  run(25s);
  EXPECT_LT(on_plane(relay2_, far_, 2), 10u);
  asked_.push_back({&d1_, &city_, &far_, 60'000, Tier::Interactive});
  run(40s);
  EXPECT_GE(on_plane(relay2_, far_, 2), 150u);
  asked_.pop_back();
  run(120s);
  EXPECT_LT(on_plane(relay2_, far_, 2), 10u) << "and what they do no more";
}

// The global level's pairs share lines with a domain's own by tiers: interactive inside goes before bulk across.
TEST_F(AcrossTraffic, StrictTiersHoldBetweenLevels) {
  line(d2_, relay2_, 100'000);
  run(20s);
  asked_ = {{&d2_, &relay2_, &far_, 75'000, Tier::Interactive}, {&d1_, &city_, &far_, 60'000, Tier::Bulk}};
  run(40s);
  const double over_relay = allocated_first();
  EXPECT_GT(over_relay, 10e6);
  EXPECT_LE(over_relay, 26e6) << "what 75 leave of 100";
}

// It would not know the message, and end the session.
TEST_F(AcrossTraffic, ADomainOfTheReleaseBeforeIsToldNothing) {
  former_ = true;
  line(d2_, relay2_, 100'000);
  line(d1_, city_, 50'000);
  run(20s);
  asked_ = {{&d1_, &city_, &far_, 80'000, Tier::Bulk}, {&d2_, &far_, &city_, 10'000, Tier::Bulk}};
  run(30s);
  EXPECT_EQ(foreign_told_[2], 0);
  EXPECT_EQ(global_->traffic().demands, 1u) << "what the other one told is planned for";
  former_ = false;
  run(20s);
  EXPECT_GT(foreign_told_[2], 0);
}

// A domain that tells of others' boxes, of itself as an endpoint, or of tiers and planes that are none, changes nothing.
TEST_F(AcrossTraffic, SenselessReportsAreNobodys) {
  run(15s);
  Envelope e;
  *e.mutable_domain_report() = d1_.level->report(now_);
  auto& traffic = *e.mutable_domain_report()->mutable_traffic();
  const auto demand = [&](std::uint32_t from, std::uint32_t to, std::uint32_t tier) {
    auto& d = *traffic.add_demands();
    d.set_headend(from);
    d.set_endpoint(to);
    d.set_tier(tier);
    d.set_kbps(1'000'000);
  };
  demand(far_.id, city_.id, 2);     // another domain's headend
  demand(city_.id, relay1_.id, 2);  // inside
  demand(city_.id, 999'999, 2);     // nobody
  demand(city_.id, far_.id, 9);
  for (const auto& [kind, node, plane] :
       {std::tuple{0u, far_.id, 1u}, {0u, city_.id, 0u}, {1u, city_.id, 77u}, {5u, city_.id, 1u}}) {
    auto& capacity = *traffic.add_capacities();
    capacity.mutable_resource()->set_kind(kind);
    capacity.mutable_resource()->set_node(node);
    capacity.mutable_resource()->set_plane(plane);
    capacity.set_amount(1);
  }
  linked_ = false;
  global_->on_envelope(1, e, now_);
  for (int i = 0; i < 100; ++i) {
    now_.mono += 100ms;
    global_->on_timer(now_);
  }
  EXPECT_EQ(global_->traffic().demands, 0u);
}

// Whatever others take: ours and theirs together fit everywhere, and tiers below get what those above leave.
TEST(ForeignTraffic, OursFitsBesideIt) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto mbit = [&](int most) {
      return (1 + static_cast<int>(random() % static_cast<unsigned>(most))) * kMbit;
    };
    TrafficWorld w;
    const double relay_line = mbit(100), city_line = mbit(100);
    w.capacities.set_line(NodeId{9}, PlaneId{1}, relay_line);
    w.capacities.set_line(NodeId{1}, PlaneId{1}, city_line);
    for (const std::uint32_t from : {1u, 2u}) w.ask(from, mbit(120));
    TrafficQuestion question = w.question();
    TrafficLoad theirs;
    const auto relay = CapacityBook::line(CapacityBook::Kind::Line, NodeId{9}, PlaneId{1});
    const double taken = std::min(mbit(60), 0.7 * relay_line);
    theirs.add(relay, Tier::Critical, taken, 1 + random() % 50);
    theirs.add(CapacityBook::line(CapacityBook::Kind::Line, NodeId{77}, PlaneId{1}), Tier::Critical, 1e9);
    theirs.join(question.foreign, question.capacities);
    TrafficPlan plan = plan_traffic(question);
    for (int step = 0; step < 10; ++step) {
      question.held = plan.spreads;
      plan = plan_traffic(question);
    }
    std::map<CapacityBook::Key, double> load;
    for (std::size_t i = 0; i < question.asks.size(); ++i)
      for (std::size_t p = 0; p < question.asks[i].routes.size(); ++p)
        for (const auto& used : question.capacities.used_by(NodeId{question.asks[i].key.first.first},
                                                            NodeId{3}, question.asks[i].routes[p]))
          load[used] += plan.flows[i][p];
    const bool full = load[relay] + taken > kNearFull * relay_line;
    EXPECT_LE(load[relay], full ? relay_line - taken + 1e4 : relay_line)
        << "asked " << question.asks[0].bps << " and " << question.asks[1].bps << ", taken " << taken
        << ", city's line " << city_line << ", spreads " << plan.spreads.size();
    EXPECT_LE(load[CapacityBook::line(CapacityBook::Kind::Line, NodeId{1}, PlaneId{1})], city_line + 1e4);
    const TrafficPlan again = plan_traffic(question);
    EXPECT_EQ(again.flows, plan.flows);
  }
}

}  // namespace
}  // namespace qanat::domain
