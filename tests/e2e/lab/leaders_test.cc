// Three controllers on an etcd of three that stand in for each other, under traffic and under an operator who changes
// something all the time. Their leader is killed, alone and together with etcd's; paused past its lease; cut off from etcd,
// from the other controllers and from all boxes.
//
//   c1, c2, c3: etcd and controller, linked with each other and ──(plane 2)── city, relay1, far1
//   city ──(plane 1) 40 ms── far1;  city ──5 ms── relay1 ──5 ms── far1
//
// QANAT_LEADER_ROUNDS=20 kills twenty times, and does the rest five times each; the suite does each once or twice.
#include <cstdlib>
#include <future>

#include "tests/e2e/lab/leaders_lab.hh"

namespace qanat::lab {
namespace {

enum class Fault { Kill, Pause, CutOff, KillBoth };
constexpr const char* kFaults[] = {"kill", "pause", "cut off", "kill with etcd's leader"};
// The requirement's, where it is asked for alone; beside a whole suite, with sanitizers, only that it comes soon.
double bound_s() { return std::getenv("QANAT_LEADER_ROUNDS") != nullptr ? 5 : 8; }

std::vector<Fault> faults() {
  const char* asked = std::getenv("QANAT_LEADER_ROUNDS");
  const int kills = asked == nullptr ? 2 : std::max(1, std::atoi(asked));
  std::vector<Fault> out;
  for (int i = 0; i < kills; ++i) {
    out.push_back(Fault::Kill);
    if (i % 4 == 0) out.insert(out.end(), {Fault::Pause, Fault::CutOff, Fault::KillBoth});
  }
  return out;
}

double seconds_since(Clock::time_point when) {
  return std::chrono::duration<double>(Clock::now() - when).count();
}

class Leaders : public LeadersLab {
 protected:
  // While `old` is stopped, far1 hears of nobody else; then it is let go, a request waiting at its door.
  static void let_go(const std::string& old) {
    const auto before = applied("far1").back();
    auto late = std::async(std::launch::async, [&] {
      base::ClientRequest request{.method = "PUT", .target = "/v1/tenants/late", .headers = {}};
      request.body = json{{"vni", 900}, {"members", json::array()}}.dump();
      const auto reply = base::fetch_blocking("unix:" + socket_of(old), std::move(request));
      return reply ? reply->status : 0;
    });
    std::this_thread::sleep_for(100ms);
    send_signal(controller(old), SIGCONT);
    EXPECT_NE(late.get(), 200) << old << " took a change after its term";
    EXPECT_TRUE(within(10s, [&] { return stands_by(old); })) << last_lines(controller(old).log, 8);
    EXPECT_EQ(applied("far1").back(), before) << "what a deposed leader decided";
  }
  static void only_hears(const std::string& old, bool only) {
    for (const std::string place : kPlaces)
      if (place != old) cut(place + "-far1-p2", only);
  }
};

TEST_F(Leaders, NothingAcknowledgedIsLostAndNothingOfADeposedOneIsApplied) {
  OutageFlow flow({lab_->node("city")->netns, lab_->node("city")->overlay},
                  {lab_->node("far1")->netns, lab_->node("far1")->overlay});
  std::vector<std::string> sockets;
  for (const auto& c : lab_->controllers) sockets.push_back(c.socket);
  Operator person(sockets);
  std::this_thread::sleep_for(300ms);
  flow.mark();

  std::map<Fault, double> longest_s;
  double longest_at_boxes_s = 0;
  std::size_t count = 0;
  for (const Fault fault : faults()) {
    ASSERT_TRUE(within(10s, [] { return etcd_is_whole() && !leader().empty(); }));
    const std::string old = leader(), member = etcd_leader();
    if (fault == Fault::Pause) only_hears(old, true);
    const auto began = Clock::now();
    switch (fault) {
      case Fault::KillBoth: kill_9("etcd-" + member); [[fallthrough]];
      case Fault::Kill: kill_9("controller-" + old); break;
      case Fault::Pause: send_signal(controller(old), SIGSTOP); break;
      case Fault::CutOff: cut_off(old, true); break;
    }
    ASSERT_TRUE(within(15s, [&] { return !leader(old).empty(); })) << "nobody took over";
    const std::string next = leader(old);
    const auto led = Clock::now();
    ASSERT_TRUE(within(5s, [&] { return person.last() > led; })) << "no change was taken by " << next;
    const double took = std::chrono::duration<double>(person.last() - began).count();
    longest_s[fault] = std::max(longest_s[fault], took);
    const std::uint64_t epoch = status_of(next).at("epoch");

    if (fault == Fault::Pause) {
      let_go(old);
      only_hears(old, false);
    }
    if (fault == Fault::Kill || fault == Fault::KillBoth) start(controller(old));
    if (fault == Fault::KillBoth) start(etcd(member));
    EXPECT_TRUE(within(15s, [&] { return all_follow(epoch); })) << "boxes did not come over to " << next;
    const double at_boxes = seconds_since(began);
    longest_at_boxes_s = std::max(longest_at_boxes_s, at_boxes);
    if (fault == Fault::CutOff) cut_off(old, false);
    EXPECT_TRUE(within(10s, [&] { return stands_by(old); }))
        << old << ": " << last_lines(controller(old).log, 8);
    std::printf("%2zu %-24s %s -> %s (epoch %llu): %.2f s, until boxes follow %.2f s\n", ++count,
                kFaults[static_cast<int>(fault)], old.c_str(), next.c_str(),
                static_cast<unsigned long long>(epoch), took, at_boxes);
    std::fflush(stdout);
  }

  const auto acknowledged = person.stop();
  std::set<std::string> kept;
  for (const auto& tenant : get(socket_of(leader()), "/v1/tenants"))
    kept.insert(tenant.at("name").get<std::string>());
  for (const auto& name : acknowledged)
    EXPECT_TRUE(kept.contains(name)) << name << " was acknowledged, and is lost";
  EXPECT_FALSE(kept.contains("late"));
  EXPECT_GE(acknowledged.size(), 3 * count) << "too few to tell";
  std::size_t configurations = 0;
  for (const char* box : kBoxes) {
    const auto all = applied(box);
    configurations += all.size();
    EXPECT_GE(all.size(), count) << box;
    for (std::size_t i = 1; i < all.size(); ++i)
      EXPECT_LT(all[i - 1], all[i]) << box << " went from " << all[i - 1].first << "." << all[i - 1].second
                                    << " to " << all[i].first << "." << all[i].second;
  }
  for (const auto& [fault, took] : longest_s)
    EXPECT_LE(took, bound_s()) << kFaults[static_cast<int>(fault)]
                               << ": from the fault to the next acknowledged change";
  const FlowReport there = flow.a_to_b(), back = flow.b_to_a();
  const auto sent = there.sent + back.sent, received = there.received + back.received;
  const double lost =
      100.0 * static_cast<double>(sent - std::min(sent, received)) / static_cast<double>(sent);
  EXPECT_LE(flow.outage_ms(), 500) << "the traffic noticed";
  EXPECT_LE(lost, 0.5) << "percent of the traffic";
  double longest = 0;
  for (const auto& [fault, took] : longest_s) longest = std::max(longest, took);
  std::printf(
      "%zu faults: longest leader change %.2f s, until all boxes follow %.2f s; %zu changes acknowledged, "
      "all of "
      "%zu kept; %zu configurations in force at boxes, in order; traffic: %llu packets, %.3f %% lost, "
      "longest gap %.0f "
      "ms\n",
      count, longest, longest_at_boxes_s, acknowledged.size(), kept.size(), configurations,
      static_cast<unsigned long long>(sent), lost, flow.outage_ms());
}

}  // namespace
}  // namespace qanat::lab
