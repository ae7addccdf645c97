// The doctor's judgements: each kind of evidence names its fault, and what to do.
#include "tools/qanat/doctor.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace qanat::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using Came = ControllerEvidence::Came;

constexpr base::UnixSeconds kNow = 1'800'000'000;
constexpr base::UnixSeconds kDay = 86'400;

json status_with(json ahead, int uptime_s = 60) {
  return {
      {"uptime_s", uptime_s}, {"udp_offloads", true}, {"controller", {{"clock_ahead_ms", std::move(ahead)}}}};
}

json peer(const char* name, unsigned plane, bool alive, unsigned mtu = 1472) {
  return {{"name", name},
          {"adjacencies",
           json::array(
               {{{"local_plane", plane}, {"alive", alive}, {"mtu", mtu}, {"address", "10.0.0.2:7700"}}})}};
}

TEST(Doctor, TellsControllersApart) {
  const auto says = [](Came came) { return judge_controllers({{came, "192.0.2.1:7443", "timed out"}}); };
  EXPECT_EQ(says(Came::Trusted).verdict, Verdict::Good);
  EXPECT_THAT(says(Came::Refused).what, HasSubstr("nobody listens at 192.0.2.1:7443"));
  EXPECT_THAT(says(Came::Silent).what, HasSubstr("timed out"));
  EXPECT_THAT(says(Came::Untrusted).what, HasSubstr("wrong CA"));
  EXPECT_THAT(says(Came::NotYetValid).remedy, HasSubstr("clock"));
  EXPECT_EQ(judge_controllers({}).verdict, Verdict::Unknown);
}

TEST(Doctor, OneControllerThatAnswersIsEnough) {
  const Finding f =
      judge_controllers({{Came::Refused, "192.0.2.1:7443", {}}, {Came::Trusted, "192.0.2.2:7443", {}}});
  EXPECT_EQ(f.verdict, Verdict::Good);
}

TEST(Doctor, ReadsCertificates) {
  CertificateEvidence c{true, true, kNow - 10 * kDay, kNow + 20 * kDay, "/x/enrolment"};
  EXPECT_EQ(judge_certificate(c, kNow).verdict, Verdict::Good);
  EXPECT_EQ(judge_certificate(c, kNow + 16 * kDay).verdict, Verdict::Note);
  EXPECT_THAT(judge_certificate(c, kNow + 21 * kDay).what, HasSubstr("expired on 20"));
  EXPECT_THAT(judge_certificate(c, kNow - 11 * kDay).what, HasSubstr("valid from"));
  c.of_our_ca = false;
  EXPECT_THAT(judge_certificate(c, kNow).what, HasSubstr("no CA that this box holds"));
  EXPECT_THAT(judge_certificate({.file = "/x/enrolment"}, kNow).what, HasSubstr("absent: no /x/enrolment"));
}

TEST(Doctor, MeasuresTheClockByTheController) {
  const CertificateEvidence c{true, true, kNow - kDay, kNow + kDay, {}};
  const auto verdict = [&](json ahead) {
    return judge_clock(status_with(std::move(ahead)), {}, c, kNow).verdict;
  };
  EXPECT_EQ(verdict(12), Verdict::Good);
  EXPECT_EQ(verdict(-3'000), Verdict::Note);
  EXPECT_EQ(verdict(600'000), Verdict::Fault);
  EXPECT_EQ(verdict(-600'000), Verdict::Fault);
  EXPECT_EQ(verdict(nullptr), Verdict::Unknown);
  EXPECT_THAT(judge_clock(status_with(600'000), {}, c, kNow).what, HasSubstr("600.0 s ahead of"));
  // Too far off for TLS: what it said of the times is all there is.
  const std::vector<ControllerEvidence> early{{Came::NotYetValid, "192.0.2.1:7443", {}}};
  EXPECT_EQ(judge_clock(nullptr, early, c, kNow).verdict, Verdict::Fault);
}

TEST(Doctor, NamesThePlaneOnWhichNothingComesBack) {
  const json peers = json::array({peer("far1", 1, false), peer("far2", 1, false), peer("far1", 2, true)});
  const auto out = judge_udp(peers, {{1, "10.1.0.1 port 7700"}});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].verdict, Verdict::Fault);
  EXPECT_THAT(out[0].what, HasSubstr("plane private (UDP 10.1.0.1 port 7700)"));
  EXPECT_EQ(out[1].verdict, Verdict::Note);  // far2 answers nowhere
  EXPECT_EQ(judge_udp(json::array({peer("far1", 1, true)}), {})[0].verdict, Verdict::Good);
  EXPECT_EQ(judge_udp(json::array(), {})[0].verdict, Verdict::Unknown);
}

TEST(Doctor, FindsABlackHoleOnlyWhereTheKernelBelievesMore) {
  const json small = json::array({peer("far1", 2, true, 1372)});
  const auto verdict = [&](unsigned kernel, int uptime) {
    return judge_mtu(status_with(0, uptime), small, {{"10.0.0.2:7700", kernel}})[0];
  };
  EXPECT_EQ(verdict(1472, 60).verdict, Verdict::Fault);
  EXPECT_THAT(verdict(1472, 60).what, HasSubstr("packets over 1400 bytes vanish"));
  EXPECT_EQ(verdict(1372, 60).verdict, Verdict::Good);
  EXPECT_EQ(verdict(1472, 3).verdict, Verdict::Unknown);
}

TEST(Doctor, SeesOffloadsAndPools) {
  EXPECT_EQ(judge_offload(status_with(0), {{"udp_segment_fallback", 0}}).verdict, Verdict::Good);
  EXPECT_EQ(judge_offload(status_with(0), {{"udp_segment_fallback", 7}}).verdict, Verdict::Fault);
  EXPECT_EQ(judge_offload({{"udp_offloads", false}}, json::object()).verdict, Verdict::Fault);
  const json pools =
      json::array({{{"url", "http://a:1"}, {"fresh", true}},
                   {{"url", "http://b:1"}, {"fresh", false}, {"node", "far1"}, {"error", "refused"}}});
  const auto out = judge_pools(pools);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_THAT(out[0].what, HasSubstr("http://b:1 is unreachable (behind far1): refused"));
}

}  // namespace
}  // namespace qanat::cli
