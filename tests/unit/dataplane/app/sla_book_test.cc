// SLAs by name: what a body may say, which paths they look at, and the events that applications hear.
#include "dataplane/app/sla_book.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace qanat::app {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

SlaRequest ask(const char* body) {
  std::vector<std::string> problems;
  SlaRequest request = read_sla(json::parse(body), problems);
  EXPECT_THAT(problems, testing::IsEmpty());
  return request;
}

TEST(SlaBook, ABodySaysAllThatIsWrongWithIt) {
  std::vector<std::string> problems;
  read_sla(
      json::parse(R"({"to":7,"tier":"gold","latency_ms":-1,"loss_pct":"none","bytes":100,"colour":"red"})"),
      problems);
  EXPECT_THAT(problems, testing::UnorderedElementsAre(HasSubstr("colour"), HasSubstr("to:"),
                                                      HasSubstr("gold"), HasSubstr("latency_ms"),
                                                      HasSubstr("loss_pct"), HasSubstr("bytes, deadline_s")));
  for (const char* nothing : {"{}", "[]", "null", R"({"to":"far1"})", R"({"bytes":10,"deadline_s":10})"}) {
    problems.clear();
    read_sla(json::parse(nothing), problems);
    EXPECT_EQ(problems.size(), 1u) << nothing;
  }
}

// Two destinations, an active path and a backup for interactive each.
struct Network {
  forwarder::Status status;
  base::Time now{seconds{100}};
  SlaBook book{[](ids::NodeId node) { return "far" + std::to_string(node.value); }};
  std::vector<HubEvent> events;

  Network() {
    for (const std::uint32_t node : {1u, 2u})
      for (const bool active : {true, false}) {
        forwarder::PathStatus p;
        p.endpoint = ids::NodeId{node};
        p.tier = ids::Tier::Interactive;
        p.id = ids::PathId{node * 10 + (active ? 0u : 1u)};
        p.active = active;
        p.state = path::State::Alive;
        p.rtt = active ? milliseconds{20} : milliseconds{90};
        status.paths.push_back(p);
      }
  }
  void run(int samples) {
    for (; samples > 0; --samples, now += milliseconds{250})
      for (auto& event : book.evaluate(status, now)) events.push_back(std::move(event));
  }
};

TEST(SlaBook, ViolationsNameTheirCause) {
  Network n;
  ASSERT_TRUE(n.book.put("chat", ask(R"({"to":"far2","latency_ms":40})"), n.now));
  n.run(8);
  EXPECT_TRUE(n.events.empty());
  n.status.paths[0].rtt = milliseconds{60};  // far1's: nobody asked
  n.status.paths[2].rtt = milliseconds{60};
  n.run(4);
  ASSERT_EQ(n.events.size(), 1u);
  EXPECT_EQ(n.events[0].name, "sla_violated");
  EXPECT_EQ(json::parse(n.events[0].data),
            json::parse(
                R"({"sla":"chat","to":"far2","tier":"interactive","term":"latency","value":60.0,"limit":40.0,
                            "unit":"ms","path":20})"));
  EXPECT_EQ((*n.book.show("chat"))["destinations"][0]["state"], "violated");
  n.status.paths[2].rtt = milliseconds{20};
  n.run(16);
  ASSERT_EQ(n.events.size(), 2u);
  EXPECT_EQ(n.events[1].name, "sla_cleared");
}

TEST(SlaBook, WithoutADestinationItIsEveryOne) {
  Network n;
  n.book.put("all", ask(R"({"tier":"interactive","loss_pct":1})"), n.now);
  n.run(1);
  EXPECT_EQ((*n.book.show("all"))["destinations"].size(), 2u);
  n.status.paths[2].state = path::State::Dead;
  n.run(1);
  ASSERT_EQ(n.events.size(), 1u);
  EXPECT_THAT(n.events[0].data, HasSubstr(R"("term":"path")"));
}

TEST(SlaBook, AManagedPathKnowsItsRate) {
  Network n;
  n.book.put("data", ask(R"({"to":"far1","bandwidth_mbps":20})"), n.now);
  n.run(8);
  EXPECT_EQ((*n.book.show("data"))["destinations"][0]["terms"][1]["state"], "unknown");
  n.status.paths[0].pipe.emplace();
  n.status.paths[0].pipe->rate_bps = 8e6;
  n.run(4);
  ASSERT_EQ(n.events.size(), 1u);
  EXPECT_THAT(n.events[0].data, HasSubstr(R"("term":"bandwidth")"));
}

TEST(SlaBook, ThereAreSoManyAndNoMore) {
  Network n;
  for (std::size_t i = 0; i < SlaBook::kMost; ++i)
    ASSERT_TRUE(n.book.put("s" + std::to_string(i), ask(R"({"latency_ms":40})"), n.now));
  EXPECT_FALSE(n.book.put("more", ask(R"({"latency_ms":40})"), n.now));
  EXPECT_TRUE(n.book.put("s0", ask(R"({"latency_ms":50})"), n.now)) << "anew";
  EXPECT_TRUE(n.book.erase("s1"));
  EXPECT_FALSE(n.book.erase("s1"));
  EXPECT_EQ(n.book.list().size(), SlaBook::kMost - 1);
}

}  // namespace
}  // namespace qanat::app
