// The main job's judgement: which links a path crosses, and what counts as a failed run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tools/lab/job_result.hh"
#include "tools/lab/path_links.hh"

namespace qanat::lab {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

Topology topology() {
  Topology t;
  t.planes = {{1, "private"}, {2, "internet"}};
  const auto link = [&](const char* a, const char* b, int plane, base::Duration delay) {
    Link l;
    l.name = std::string(a) + "-" + b + "-p" + std::to_string(plane);
    l.a = a, l.b = b, l.plane = plane;
    l.up.delay = l.down.delay = delay;
    t.links.push_back(l);
  };
  link("city", "relay", 1, 1ms);
  link("city", "relay", 2, 2ms);
  link("relay", "far", 1, 40ms);
  link("relay", "far", 2, 30ms);
  link("city", "far", 2, 90ms);
  return t;
}

TEST(PathLinks, FollowsThePlaneOfEachSegment) {
  const PathView path{"city", "far", {"n2:x2", "n3"}, {"relay", "far"}, 1};
  EXPECT_THAT(links_of(path, topology()), ElementsAre("city-relay-p1", "relay-far-p2"));
  EXPECT_EQ(to_string(path, topology()), "city -private- relay -internet- far");
  EXPECT_EQ(longest_link(links_of(path, topology()), topology()), "relay-far-p2");
}

TEST(PathLinks, WalksLinksFromEitherEnd) {
  const PathView back{"far", "city", {"n2:x1", "n1"}, {"relay", "city"}, 2};
  EXPECT_THAT(links_of(back, topology()), ElementsAre("relay-far-p2", "city-relay-p1"));
}

TEST(PathLinks, DirectPathIsOneLink) {
  EXPECT_THAT(links_of({"city", "far", {"n3"}, {"far"}, 2}, topology()), ElementsAre("city-far-p2"));
}

TEST(PathLinks, OpenPlaneStaysOnTheOneBefore) {
  const PathView path{"city", "far", {"n2", "n3"}, {"relay", "far"}, 1};
  EXPECT_THAT(links_of(path, topology()), ElementsAre("city-relay-p1", "relay-far-p1"));
  EXPECT_EQ(to_string(path, topology()), "city -private- relay -any- far");
}

TEST(PathLinks, UnknownLinkGivesNone) {
  EXPECT_THAT(links_of({"city", "far", {"n3"}, {"far"}, 1}, topology()), ElementsAre());
}

JobResult good() {
  JobResult r;
  r.requests_total = 300;
  r.overflow_share = 0.6;
  r.outage_ms = 80;
  r.path_before = "a";
  r.path_after = "b";
  r.tokens_delivered = r.tokens_billed = 60'000;
  r.cut_link = "relay-far-p2";
  r.window_tokens = 1000;
  r.overflow_bytes = 300'000;
  r.cut_link_bytes = 2'300'000;
  return r;
}

TEST(JobResult, AGoodRunHasNoFailures) { EXPECT_THAT(failures_of(good()), ElementsAre()); }

TEST(JobResult, EachConditionCanFail) {
  const auto only = [](auto change) {
    JobResult r = good();
    change(r);
    const auto failures = failures_of(r);
    return failures.size() == 1 ? failures.front() : "not one failure";
  };
  EXPECT_THAT(only([](auto& r) { r.requests_total = 199; }), HasSubstr("199 requests"));
  EXPECT_THAT(only([](auto& r) { r.requests_failed = 1; }), HasSubstr("1 requests failed"));
  EXPECT_THAT(only([](auto& r) { r.overflow_share = 0; }), HasSubstr("overflow share"));
  EXPECT_THAT(only([](auto& r) { r.overflow_share = 1; }), HasSubstr("overflow share"));
  EXPECT_THAT(only([](auto& r) { r.tokens_billed -= 1; }), HasSubstr("59999 billed"));
  EXPECT_THAT(only([](auto& r) { r.outage_ms = 200.1; }), HasSubstr("200.1 ms"));
  EXPECT_THAT(only([](auto& r) { r.path_after = r.path_before; }), HasSubstr("did not change"));
  EXPECT_THAT(only([](auto& r) { r.cut_link_bytes = r.overflow_bytes - 1; }), HasSubstr("provably"));
  EXPECT_THAT(only([](auto& r) { r.cut_link.clear(); }), HasSubstr("no link was cut"));
}

TEST(JobResult, JsonHasExactlyTheAgreedKeys) {
  const auto out = nlohmann::ordered_json::parse(to_json(good()));
  std::vector<std::string> keys;
  for (const auto& [key, value] : out.items()) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre("requests_total", "requests_failed", "overflow_share", "ttft_ms", "tpot_ms",
                                "link_cut", "tokens_delivered", "tokens_billed", "cost", "wall_s"));
  EXPECT_EQ(out["link_cut"].size(), 3u);
  EXPECT_EQ(out["ttft_ms"]["overflow"].size(), 2u);
}

}  // namespace
}  // namespace qanat::lab
