// The Yielder's state × event table (yielder.hh), cell by cell.
#include "dataplane/qos/yielder.hh"

#include <gtest/gtest.h>

namespace qanat::qos {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using State = Yielder::State;

constexpr milliseconds kBase{20}, kLong{30};

// A path, a sample a millisecond; sends whenever it may.
struct Rig {
  Yielder yielder;
  base::Time now{seconds{100}};
  std::size_t sent = 0;

  Rig() { run(kBase, milliseconds{1}); }
  void run(milliseconds rtt, milliseconds span, bool send = true) {
    for (milliseconds t{}; t < span; ++t, now += milliseconds{1}) {
      yielder.on_rtt(rtt, now);
      while (yielder.ready(now) && send) {
        yielder.on_sent(1500, now);
        sent += 1500;
      }
    }
  }
};

TEST(Yielder, SendingGrowsWhileTheQueueIsShort) {
  Rig r;
  const auto before = r.yielder.rate();
  r.run(kBase, milliseconds{200});
  EXPECT_EQ(r.yielder.state(), State::Sending);
  EXPECT_GT(r.yielder.rate(), 16 * before);
}

TEST(Yielder, ARateThatIsNotUsedDoesNotGrow) {
  Rig r;
  const auto before = r.yielder.rate();
  r.run(kBase, milliseconds{500}, false);
  EXPECT_LE(r.yielder.rate(), 2 * before);
}

TEST(Yielder, AQueueThatIsTooLongSlowsItDown) {
  Rig r;
  r.run(kBase, milliseconds{100});
  const auto before = r.yielder.rate();
  r.run(kLong, milliseconds{6});
  EXPECT_EQ(r.yielder.state(), State::Sending);
  EXPECT_EQ(r.yielder.rate(), before / 2) << "by half, the first time";
  r.run(kBase, milliseconds{100});
  EXPECT_EQ(r.yielder.state(), State::Sending) << "it helped";
  const auto later = r.yielder.rate();
  EXPECT_LT(later, before) << "and from here on it grows by a sixteenth a round";
  r.run(kLong, milliseconds{6});
  EXPECT_EQ(r.yielder.rate(), later - later / 4);
}

TEST(Yielder, AQueueThatGoesAwayWithUsWasOurs) {
  Rig r;
  r.run(kBase, milliseconds{100});
  r.run(kLong, milliseconds{50});
  EXPECT_EQ(r.yielder.state(), State::Paused) << "slower did not help within a round trip and 20 ms";
  const auto sent = r.sent;
  r.run(kLong, milliseconds{25});
  EXPECT_EQ(r.sent, sent) << "silent until what it sent is through";
  r.run(kBase, milliseconds{30});
  EXPECT_EQ(r.yielder.state(), State::Sending);
}

TEST(Yielder, OneLateSampleIsNoQueue) {
  Rig r;
  r.run(kLong, milliseconds{2});
  r.run(kBase, milliseconds{1});
  r.run(kLong, milliseconds{2});
  EXPECT_EQ(r.yielder.state(), State::Sending);
}

TEST(Yielder, AQueueThatStandsIsSomebodyElses) {
  Rig r;
  r.run(kBase, milliseconds{100});
  r.run(kLong, milliseconds{130});
  EXPECT_EQ(r.yielder.state(), State::Away);
  r.sent = 0;
  r.run(kLong, milliseconds{1000});
  EXPECT_EQ(r.yielder.state(), State::Away);
  EXPECT_NEAR(static_cast<double>(r.sent), 10 * 1500, 1500) << "a packet each 100 ms";
  // Short now and then is not enough; short for 200 ms is.
  for (int i = 0; i < 5; ++i) {
    r.run(kBase, milliseconds{150});
    r.run(kLong, milliseconds{20});
  }
  EXPECT_EQ(r.yielder.state(), State::Away);
  r.run(kBase, milliseconds{210});
  EXPECT_EQ(r.yielder.state(), State::Sending);
}

TEST(Yielder, LossHalvesOncePerRoundTrip) {
  Rig r;
  r.run(kBase, milliseconds{100});
  const auto before = r.yielder.rate();
  for (int i = 0; i < 10; ++i) r.yielder.on_loss(r.now);
  EXPECT_EQ(r.yielder.rate(), before / 2);
  r.yielder.on_loss(r.now + milliseconds{21});
  EXPECT_EQ(r.yielder.rate(), before / 4);
}

TEST(Yielder, LossWhileAwayChangesNothing) {
  Rig r;
  r.run(kLong, milliseconds{200});
  ASSERT_EQ(r.yielder.state(), State::Away);
  r.yielder.on_loss(r.now);
  EXPECT_EQ(r.yielder.state(), State::Away);
}

}  // namespace
}  // namespace qanat::qos
