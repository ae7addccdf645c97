// Nets, tenants, limits, promises and traffic at random: no list that a box is handed breaks the limits of its pair and tier,
// whoever chose it, and where a direct way or one over a single relay is within them, the box has a list. Splits are whole.
#include <random>

#include "controller/domain/spread.hh"
#include "controller/session/what_if.hh"
#include "tests/unit/controller/domain_world.hh"

namespace qanat {
namespace {

constexpr std::size_t kBoxes = 7, kRelays = 3;
constexpr std::uint32_t kPlanes = 3;
constexpr int kUnderWay = 3;  // ticks: what was sent before the limits is acknowledged first

class RandomLimits {
 public:
  explicit RandomLimits(std::uint32_t seed) : random_(seed) {
    for (std::size_t i = 0; i < kBoxes; ++i) boxes_.emplace_back("box" + std::to_string(i), i < kRelays);
    for (Box& box : boxes_) box.location = place();
    for (Box& box : boxes_) domain_.enrol(box);
    for (Box& box : boxes_) domain_.connect(box);
    domain_.level->on_event(
        [this](const session::Event& event) { own_ += event.kind == "tier_path_changed"; });
  }
  void run() {
    for (int round = 0; round < 8; ++round) {
      change();
      for (int tick = 0; tick < 40; ++tick) {
        if (tick % 20 == 0) send();
        step();
        if (tick >= kUnderWay) judge(false);
        if (::testing::Test::HasFatalFailure()) return;
      }
      judge(true);
      ASSERT_TRUE(domain_.level->what_if({}, now_)().moved.empty()) << "nothing happens: nobody moves";
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
  int lists() const { return lists_; }
  int none() const { return none_; }
  int split() const { return split_; }
  int own() const { return own_; }

 private:
  std::string place() {
    static const std::vector<std::string> kPlaces{"", "cn", "gz.cn", "guian.gz.cn", "sh.cn", "de"};
    return kPlaces[random_() % kPlaces.size()];
  }
  static bool is_in(const std::string& at, const std::string& zone) {
    return ("." + at).ends_with("." + zone);
  }
  bool chance(unsigned per_cent) { return random_() % 100 < per_cent; }
  void change() {
    for (std::size_t a = 0; a < kBoxes; ++a)
      for (std::size_t b = a + 1; b < kBoxes; ++b)
        for (std::uint32_t plane = 1; plane <= kPlanes; ++plane)
          rtt_[{a, b, plane}] = chance(35) ? 2'000 + random_() % 90'000 : 0;
    members_.clear();
    rules_.limits.clear();
    rules_.slas.clear();
    for (std::uint32_t t = 0; t < 3; ++t) {
      const std::string name = "t" + std::to_string(t);
      session::TenantView tenant{.name = name, .vni = 100 + t, .members = {}};
      for (std::size_t i = 0; i < kBoxes; ++i)
        if (chance(60)) tenant.members.push_back({boxes_[i].name, {}, {}});
      for (const auto& member : tenant.members) members_[name].insert(member.node);
      ASSERT_TRUE(domain_.level->put_tenant(tenant, now_).empty());
      if (chance(70)) rules_.limits.push_back(limit(name, std::nullopt));
      for (const ids::Tier tier : ids::kTiers)
        if (chance(25)) rules_.limits.push_back(limit(name, tier));
      if (chance(60))
        rules_.slas.push_back({.tenant = name, .tier = ids::kTiers[random_() % 4], .most_jitter_us = 3'000});
    }
    domain_.level->set_rules(rules_, now_);
  }
  policy::Limit limit(const std::string& tenant, std::optional<ids::Tier> tier) {
    policy::Limit out{.tenant = tenant, .tier = tier};
    for (std::uint8_t plane = 1; plane <= kPlanes; ++plane)
      if (chance(55)) out.planes.push_back(plane);
    if (chance(50))
      for (const char* zone : {"cn", "gz.cn", "sh.cn", "de"})
        if (chance(30)) out.within.push_back(zone);
    return out;
  }
  // Every box asks for more than its lines take.
  void send() {
    for (const Box& from : boxes_) {
      Envelope e;
      for (const Box& to : boxes_)
        for (const ids::Tier tier : ids::kTiers) {
          if (&to == &from || !chance(50)) continue;
          auto& demand = *e.mutable_telemetry()->add_demands();
          demand.set_peer(to.id);
          demand.set_tier(static_cast<std::uint32_t>(tier));
          demand.set_kbps(20'000 + random_() % 40'000);
          demand.set_packet_bytes(1200);
        }
      for (std::uint32_t plane = 1; plane <= kPlanes; ++plane) {
        auto& line = *e.mutable_telemetry()->add_lines();
        line.set_plane(plane);
        line.set_rate_kbps(50'000 + random_() % 100'000);
      }
      domain_.level->on_envelope(from.id, e, now_);
    }
  }
  void step() {
    now_.mono += 100ms;
    for (const auto& [link, rtt] : rtt_) {
      const auto& [a, b, plane] = link;
      const std::uint32_t jitter_us = rtt % 3 == 0 ? 8'000 : 0;
      domain_.measure(boxes_[a], boxes_[b].id, rtt, rtt != 0, plane, jitter_us);
    }
    domain_.level->on_timer(now_);
    for (Box& box : boxes_) domain_.deliver(box);
  }

  std::set<std::uint32_t> planes_of(const Box& a, const Box& b, ids::Tier tier) const {
    std::set<std::uint32_t> planes;
    for (std::uint32_t plane = 1; plane <= kPlanes; ++plane) planes.insert(plane);
    for (const auto& limit : rules_.limits) {
      const auto members = members_.find(limit.tenant);
      if (limit.planes.empty() || limit.tier.value_or(tier) != tier || members == members_.end() ||
          !members->second.contains(a.name) || !members->second.contains(b.name))
        continue;
      std::erase_if(planes, [&](std::uint32_t plane) {
        return std::find(limit.planes.begin(), limit.planes.end(), plane) == limit.planes.end();
      });
    }
    return planes;
  }
  bool resides(std::size_t relay, const Box& a, const Box& b, ids::Tier tier) const {
    return std::all_of(rules_.limits.begin(), rules_.limits.end(), [&](const policy::Limit& limit) {
      const auto members = members_.find(limit.tenant);
      return limit.within.empty() || limit.tier.value_or(tier) != tier || members == members_.end() ||
             !members->second.contains(a.name) || !members->second.contains(b.name) ||
             std::any_of(limit.within.begin(), limit.within.end(),
                         [&](const auto& zone) { return is_in(boxes_[relay].location, zone); });
    });
  }
  bool linked(std::size_t a, std::size_t b, const std::set<std::uint32_t>& planes) const {
    return std::any_of(planes.begin(), planes.end(), [&](std::uint32_t plane) {
      return rtt_.at({std::min(a, b), std::max(a, b), plane}) != 0;
    });
  }
  bool feasible(std::size_t a, std::size_t b, ids::Tier tier) const {
    const auto planes = planes_of(boxes_[a], boxes_[b], tier);
    if (linked(a, b, planes)) return true;
    for (std::size_t relay = 0; relay < kRelays; ++relay)
      if (relay != a && relay != b && linked(a, relay, planes) && linked(relay, b, planes) &&
          resides(relay, boxes_[a], boxes_[b], tier))
        return true;
    return false;
  }

  void judge(bool settled) {
    for (std::size_t a = 0; a < kBoxes; ++a)
      for (std::size_t b = 0; b < kBoxes; ++b)
        for (const ids::Tier tier : ids::kTiers)
          if (a != b && !::testing::Test::HasFatalFailure()) judge(a, b, tier, settled);
  }
  void judge(std::size_t a, std::size_t b, ids::Tier tier, bool settled) {
    const auto planes = planes_of(boxes_[a], boxes_[b], tier);
    const auto* policy = boxes_[a].policy(boxes_[b].id, tier);
    if (planes.size() < kPlanes) {
      ASSERT_NE(policy, nullptr) << "without one it would go anywhere";
      for (std::uint32_t plane = 1; plane <= 15; ++plane)
        ASSERT_EQ(policy->planes() >> plane & 1, planes.contains(plane) ? 1u : 0u);
    }
    if (policy != nullptr) judge_split(*policy, planes.size() < kPlanes);
    bool works = false;
    for (int i = 0; policy != nullptr && i < policy->paths_size(); ++i) {
      const auto route = domain::route_of(policy->paths(i), boxes_[b].id);
      ASSERT_TRUE(route);
      ++lists_;
      for (std::size_t hop = 0; hop < route->hops(); ++hop)
        ASSERT_TRUE(planes.contains(route->planes[hop].value) || planes.size() == kPlanes)
            << boxes_[a].name << " to " << boxes_[b].name << ", " << ids::to_string(tier) << ", list " << i;
      for (std::size_t relay = 0; relay < kRelays; ++relay)
        for (const ids::NodeId used : route->relay_list())
          if (boxes_[relay].id == used.value)
            ASSERT_TRUE(resides(relay, boxes_[a], boxes_[b], tier))
                << boxes_[a].name << " to " << boxes_[b].name << ", " << ids::to_string(tier) << ", list "
                << i;
      works |= domain_works(a, b, *route);
    }
    if (settled && feasible(a, b, tier))
      ASSERT_TRUE(works) << boxes_[a].name << " to " << boxes_[b].name << ", " << ids::to_string(tier);
    none_ += settled && !works;
  }
  void judge_split(const proto::v1::SrPolicy& policy, bool limited) {
    std::uint32_t sum = 0;
    bool split = false;
    for (const auto& path : policy.paths()) {
      sum += path.weight();
      split |= path.weight() != 1;
    }
    if (split) ASSERT_EQ(sum, domain::Spread::kWhole) << "what a list takes is not lost";
    split_ += split && limited;
  }
  bool domain_works(std::size_t a, std::size_t b, const paths::Route& route) const {
    std::size_t at = a;
    for (std::size_t hop = 0; hop < route.hops(); ++hop) {
      std::size_t next = b;
      for (std::size_t i = 0; hop < route.relay_count && i < kBoxes; ++i)
        if (boxes_[i].id == route.relays[hop].value) next = i;
      if (rtt_.at({std::min(at, next), std::max(at, next), route.planes[hop].value}) == 0) return false;
      at = next;
    }
    return true;
  }

  std::mt19937 random_;
  Now now_{base::Time{} + 1000s, 1'800'000'000};
  DomainWorld domain_{1, now_};
  std::vector<Box> boxes_;
  std::map<std::tuple<std::size_t, std::size_t, std::uint32_t>, std::uint32_t> rtt_;
  std::map<std::string, std::set<std::string>> members_;
  policy::Rules rules_;
  int lists_ = 0, none_ = 0, split_ = 0, own_ = 0;
};

TEST(LimitsProperty, NoListBreaksThemAndOneIsFoundWhereThereIsOne) {
  int lists = 0, none = 0, split = 0, own = 0;
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    RandomLimits random(seed);
    random.run();
    if (::testing::Test::HasFatalFailure()) return;
    lists += random.lists();
    none += random.none();
    split += random.split();
    own += random.own();
  }
  EXPECT_GT(lists, 10'000) << "else this showed nothing";
  EXPECT_GT(none, 100);
  EXPECT_GT(split, 100) << "of tiers that are limited";
  EXPECT_GT(own, 20);
}

}  // namespace
}  // namespace qanat
