// DemandMeter: what is told of tenants' traffic, when, and how much of it.
#include "dataplane/app/demand_meter.hh"

#include <gtest/gtest.h>

#include "identifiers/proto/southbound.pb.h"

namespace qanat::app {
namespace {

using namespace std::chrono_literals;
constexpr base::Time kStart{1000s};

struct Story {
  DemandMeter meter;
  forwarder::Status status;
  base::Time now = kStart;

  forwarder::PathStatus& path(std::uint32_t peer, std::size_t segments = 1) {
    forwarder::PathStatus p;
    p.endpoint = ids::NodeId{peer};
    p.tier = ids::Tier::Bulk;
    p.segments.assign(segments, ids::Sid{});
    return status.paths.emplace_back(std::move(p));
  }
  void send(forwarder::PathStatus& p, std::uint64_t packets) {
    p.packets += packets;
    p.bytes += packets * 1000;
  }
  proto::v1::Telemetry look(base::Duration after = DemandMeter::kEvery) {
    now += after;
    proto::v1::Telemetry out;
    meter.append(status, now, out);
    return out;
  }
};

TEST(DemandMeter, TellsWhatChangedByATenth) {
  Story s;
  s.path(7);
  EXPECT_EQ(s.look().demands_size(), 0) << "nothing to compare with yet";
  s.send(s.status.paths[0], 2000);
  const auto out = s.look();
  ASSERT_EQ(out.demands_size(), 1);
  EXPECT_EQ(out.demands(0).peer(), 7u);
  EXPECT_EQ(out.demands(0).tier(), 2u);
  EXPECT_GT(out.demands(0).packet_bytes(), 1000u) << "on the wire";
  EXPECT_NEAR(out.demands(0).kbps(), 8.0 * out.demands(0).packet_bytes(), 10) << "1,000 packets a second";
  s.send(s.status.paths[0], 2050);
  EXPECT_EQ(s.look().demands_size(), 0) << "2 % more";
  s.send(s.status.paths[0], 500);
  EXPECT_EQ(s.look(500ms).demands_size(), 0) << "not yet due";
  s.send(s.status.paths[0], 2500);
  EXPECT_EQ(s.look(1500ms).demands_size(), 1);
  const auto end = s.look();
  ASSERT_EQ(end.demands_size(), 1);
  EXPECT_EQ(end.demands(0).kbps(), 0u) << "it stopped";
  EXPECT_EQ(s.look().demands_size(), 0);
}

TEST(DemandMeter, RepeatsWhatIsUnderWay) {
  Story s;
  s.path(7);
  s.look();
  int told = 0;
  for (int i = 0; i < 15; ++i) {
    s.send(s.status.paths[0], 2000);
    told += s.look().demands_size();
  }
  EXPECT_EQ(told, 1 + 3) << "once, and every 10 s of 30";
}

TEST(DemandMeter, SumsListsAndSaysThatSomethingWaited) {
  Story s;
  s.path(7);
  s.path(7, 2);
  s.look();
  s.send(s.status.paths[0], 1000);
  s.send(s.status.paths[1], 1000);
  s.status.paths[1].limited = true;
  const auto out = s.look();
  ASSERT_EQ(out.demands_size(), 1);
  EXPECT_GT(out.demands(0).kbps(), 8000u);
  EXPECT_TRUE(out.demands(0).limited());
}

TEST(DemandMeter, IsBoundedAndLosesNothing) {
  Story s;
  for (std::uint32_t peer = 1; peer <= 100; ++peer) s.path(peer);
  s.look();
  for (std::size_t i = 0; i < 100; ++i) s.send(s.status.paths[i], 1000 + 10 * i);
  const auto first = s.look();
  EXPECT_EQ(first.demands_size(), static_cast<int>(DemandMeter::kMost));
  EXPECT_EQ(first.demands(0).peer(), 100u) << "the largest first";
  EXPECT_LT(first.ByteSizeLong(), 64 * 16u);
  for (std::size_t i = 0; i < 100; ++i) s.send(s.status.paths[i], 1000 + 10 * i);
  const auto second = s.look();
  EXPECT_EQ(second.demands_size(), 36) << "those that were left out";
}

}  // namespace
}  // namespace qanat::app
