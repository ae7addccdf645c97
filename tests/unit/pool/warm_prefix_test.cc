// White paper §3.4: what a warm prefix does to TTFT and TPOT below and beyond capacity. The bench draws the same curve.
#include "gateway/pool/calibration/warm_prefix.hh"

#include <gtest/gtest.h>

#include "tests/unit/pool/support.hh"

namespace qanat::pool {
namespace {

TEST(WarmPrefix, CutsTtftSharplyLeavesTpotAndMeetsColdBeyondCapacity) {
  LoadTest test;
  for (const char* name : {"H20", "E"}) {
    SCOPED_TRACE(name);
    const Roofline roofline(testing::card(name), 4, testing::model("deepseek-r1-distill-qwen-32b"));
    const auto points = warm_against_cold(roofline, test, {1, 8, 32, 64, 256, 512, 2048});
    const WarmPoint& relaxed = points[2];
    for (const WarmPoint& point : points) {
      SCOPED_TRACE(point.clients);
      EXPECT_LE(point.warm.ttft_s, point.cold.ttft_s * 1.001);
      EXPECT_GT(point.warm.tpot_s, 0.4 * point.cold.tpot_s) << "no order of magnitude";
      EXPECT_LT(point.warm.tpot_s, 1.2 * point.cold.tpot_s);
      if (point.clients >= 8 && point.clients <= 64) {
        EXPECT_LT(point.warm.ttft_s, 0.25 * point.cold.ttft_s);
      }
    }
    const WarmPoint &queueing = points[5], &beyond = points[6];
    // Twice as many calls as there are seats: they wait for seats, warm or not.
    EXPECT_GT(queueing.cold.ttft_s, 10 * relaxed.cold.ttft_s) << "TTFT explodes";
    EXPECT_GT(queueing.warm.ttft_s, 100 * relaxed.warm.ttft_s) << "warm more than cold";
    EXPECT_GT(queueing.warm.ttft_s, 0.35 * queueing.cold.ttft_s) << "warm comes nearer to cold";
    // More prompts than memory holds: by the time a call is served its prefix is gone.
    EXPECT_GT(beyond.warm.ttft_s, 0.9 * beyond.cold.ttft_s) << "and meets it";
  }
}

}  // namespace
}  // namespace qanat::pool
