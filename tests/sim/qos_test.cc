// Acceptance of quality of service in virtual time: a tier scheduler, or a yielding scavenger, in front of an emulated
// line of 50 Mbit/s. Every run prints its seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>

#include "dataplane/packet/byte_order.hh"
#include "dataplane/path/congestion.hh"
#include "dataplane/qos/tier_scheduler.hh"
#include "dataplane/qos/yielder.hh"
#include "tests/unit/dataplane/qos/frames.hh"
#include "tools/linkem/direction.hh"

namespace qanat {
namespace {

using ids::Tier;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double kLine = 50e6;
constexpr std::size_t kAround = 78;  // what the overlay and its outer headers put around a segment
const base::Time kStart{seconds{100}};

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

// A box's egress: whatever is offered waits in the scheduler, which the line's shaper empties.
class Egress {
 public:
  explicit Egress(qos::PolicyConfig config = {}) {
    config.line_bps = {static_cast<std::uint64_t>(kLine)};
    policy_ = std::make_shared<const qos::Policy>(config);
    scheduler_ = std::make_unique<qos::TierScheduler>(policy_, drops_);
  }
  void offer(Tier tier, std::uint32_t vni, const test::CutFrame& frame, base::Time now) {
    scheduler_->enqueue(tier, {ids::NodeId{1}, ids::Vni{vni}}, 0, frame.segmenter, *frame.bytes, now);
  }
  // Until `now`: as a worker does that wakes when the shaper lets it. `left`(packet, when).
  template <class Left>
  void run_until(base::Time now, Left left) {
    qos::TokenBucket& line = *policy_->line(0);
    for (base::Time at = last_; at <= now; at = std::max(line.ready_at(), at + microseconds{1})) {
      while (line.ready(at)) {
        const auto next = scheduler_->next(at, [](const qos::QueuedPacket&) { return true; });
        if (!next) {
          last_ = now;
          return;
        }
        const std::size_t wire = next->packet->segment_bytes() + kAround;
        left(*next->packet, wire, at);
        line.charge(wire, at);
        scheduler_->sent(*next, wire, at);
      }
      last_ = at;
    }
    last_ = now;
  }
  const qos::TierScheduler& scheduler() const { return *scheduler_; }

 private:
  packet::DropCounters drops_;
  std::shared_ptr<const qos::Policy> policy_;
  std::unique_ptr<qos::TierScheduler> scheduler_;
  base::Time last_ = kStart;
};

TEST(QosSimulation, TwoTenantsAtTenTimesTheDemandGetTheirShares) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    for (const Tier tier : {Tier::Interactive, Tier::Bulk}) {
      Egress egress;
      std::map<std::uint32_t, double> got;
      // 40 Mbit/s against 400, in bursts, super-packets against single ones.
      std::exponential_distribution<double> small(40e6 / 8 / 1340), large(400e6 / 8 / 12400);
      const auto frame = test::udp_frame(1340);
      const auto super = test::tcp_frame(12000);
      double next_small = 0, next_large = 0;
      for (base::Time now = kStart; now < kStart + seconds{3}; now += microseconds{500}) {
        const double t = std::chrono::duration<double>(now - kStart).count();
        for (; next_small <= t; next_small += small(random)) egress.offer(tier, 100, frame, now);
        for (; next_large <= t; next_large += large(random)) egress.offer(tier, 200, super, now);
        egress.run_until(now, [&](const qos::QueuedPacket& p, std::size_t wire, base::Time at) {
          if (at > kStart + seconds{1}) got[p.key.vni.value] += static_cast<double>(wire);
        });
      }
      const double a = got[100], b = got[200];
      const double jain = (a + b) * (a + b) / (2 * (a * a + b * b));
      EXPECT_GE(jain, 0.999) << to_string(tier) << ": " << a << " and " << b;
      EXPECT_NEAR((a + b) * 8 / 2 / kLine, 1.0, 0.01);
    }
  }
}

// A tenant with a quiet flow of 200 packets/s, beside one that sends 5 Mbit/s or floods 64-byte packets at four times the line.
double quiet_p99_ms(Tier tier, bool flood, unsigned seed) {
  std::mt19937 random(seed);
  Egress egress;
  const auto quiet = test::udp_frame(200);
  const auto other = test::udp_frame(flood ? 64 : 1340);
  std::exponential_distribution<double> rate(flood ? 4 * kLine / 8 / (64 + kAround) : 5e6 / 8 / 1418);
  std::vector<double> delays;
  double next_other = 0;
  base::Time next_quiet = kStart;
  for (base::Time now = kStart; now < kStart + seconds{2}; now += microseconds{250}) {
    const double t = std::chrono::duration<double>(now - kStart).count();
    for (; next_other <= t; next_other += rate(random)) egress.offer(tier, 200, other, now);
    if (now >= next_quiet) {
      egress.offer(tier, 100, quiet, now);
      next_quiet += milliseconds{5};
    }
    egress.run_until(now, [&](const qos::QueuedPacket& p, std::size_t, base::Time at) {
      if (p.key.vni.value == 100)
        delays.push_back(std::chrono::duration<double, std::milli>(at - p.queued).count());
    });
  }
  EXPECT_GT(delays.size(), 390u);
  return percentile(delays, 0.99);
}

TEST(QosSimulation, AFloodOfSmallPacketsDoesNotReachTheNeighbour) {
  for (const unsigned seed : {1u, 2u, 3u})
    for (const Tier tier : {Tier::Interactive, Tier::Bulk}) {
      const double before = quiet_p99_ms(tier, false, seed), after = quiet_p99_ms(tier, true, seed);
      EXPECT_LE(after - before, 2.0) << to_string(tier) << ", seed " << seed << ": " << before << " to "
                                     << after;
    }
}

TEST(QosSimulation, AtTwiceTheLineCriticalWaitsForNobodyAndTheLineIsFull) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    std::mt19937 random(seed);
    Egress egress;
    const auto critical = test::udp_frame(200);
    const auto bulk = test::tcp_frame(12000);
    std::exponential_distribution<double> load(2 * kLine / 8 / (12400 + 10 * kAround));
    std::vector<double> delays;
    double next_bulk = 0, wire_bytes = 0;
    for (base::Time now = kStart; now < kStart + seconds{2}; now += microseconds{250}) {
      const double t = std::chrono::duration<double>(now - kStart).count();
      for (; next_bulk <= t; next_bulk += load(random)) egress.offer(Tier::Bulk, 100, bulk, now);
      if ((now - kStart) % milliseconds{1} == base::Duration{})
        egress.offer(Tier::Critical, 100, critical, now);
      egress.run_until(now, [&](const qos::QueuedPacket& p, std::size_t wire, base::Time at) {
        wire_bytes += static_cast<double>(wire);
        if (p.tier == Tier::Critical)
          delays.push_back(std::chrono::duration<double, std::milli>(at - p.queued).count());
      });
    }
    EXPECT_LE(percentile(delays, 0.99), 2.0) << "seed " << seed;
    EXPECT_GE(wire_bytes * 8 / 2 / kLine, 0.98) << "seed " << seed;
  }
}

TEST(QosSimulation, ScavengerYieldsToBulkOfItsOwnBoxAtOnce) {
  Egress egress;
  const auto frame = test::tcp_frame(12000);
  std::map<Tier, double> got;
  const base::Time bulk_comes = kStart + seconds{1};
  for (base::Time now = kStart; now < kStart + seconds{2}; now += microseconds{500}) {
    egress.offer(Tier::Scavenger, 100, frame, now);
    if (now >= bulk_comes) egress.offer(Tier::Bulk, 200, frame, now);
    egress.run_until(now, [&](const qos::QueuedPacket& p, std::size_t wire, base::Time at) {
      if (at > bulk_comes + milliseconds{200}) got[p.tier] += static_cast<double>(wire);
    });
  }
  EXPECT_GE(got[Tier::Bulk] / (got[Tier::Bulk] + got[Tier::Scavenger]), 0.95);
}

// Transfers as qanat send has them: off-peak ones are scavenger, deadline ones bulk. Ten at once on a full line, and beside
// them a tenant's interactive packets, a fifth of the line, at the same instants as without them.
TEST(QosSimulation, TenOffPeakTransfersDoNotDelayInteractive) {
  const auto interactive_p99_ms = [](std::optional<Tier> transfers, unsigned seed, double& moved) {
    std::mt19937 random(seed);
    Egress egress;
    const auto call = test::udp_frame(500);
    const auto chunk = test::tcp_frame(12000);
    std::exponential_distribution<double> rate(kLine / 5 / 8 / (500 + kAround));
    std::vector<double> delays;
    double next_call = 0;
    moved = 0;
    for (base::Time now = kStart; now < kStart + seconds{4}; now += microseconds{250}) {
      const double t = std::chrono::duration<double>(now - kStart).count();
      for (; next_call <= t; next_call += rate(random)) egress.offer(Tier::Interactive, 100, call, now);
      if (transfers)
        for (std::uint32_t i = 0; i < 10; ++i) egress.offer(*transfers, 100 + i % 2, chunk, now);
      egress.run_until(now, [&](const qos::QueuedPacket& p, std::size_t wire, base::Time at) {
        if (p.tier == Tier::Interactive)
          delays.push_back(
              std::chrono::duration<double, std::milli>(std::max(at, p.queued) - p.queued).count());
        else
          moved += static_cast<double>(wire) * 8 / 4 / kLine;
      });
    }
    return percentile(delays, 0.99);
  };
  for (const unsigned seed : {1u, 2u, 3u}) {
    double none = 0, off_peak_share = 0, deadline_share = 0;
    const double alone = interactive_p99_ms(std::nullopt, seed, none),
                 off_peak = interactive_p99_ms(Tier::Scavenger, seed, off_peak_share),
                 deadline = interactive_p99_ms(Tier::Bulk, seed, deadline_share);
    std::printf(
        "seed %u: interactive p99 %.3f ms; beside ten off-peak transfers %.3f (they get %.2f of the line), "
        "beside ten "
        "with a deadline %.3f (%.2f)\n",
        seed, alone, off_peak, off_peak_share, deadline, deadline_share);
    // One segment that is on the wire when a packet comes: 1,318 bytes at 50 Mbit/s are 0.21 ms; and the worker's step.
    EXPECT_LE(off_peak, alone + 0.5) << "seed " << seed;
    EXPECT_GE(off_peak_share, 0.7) << "what interactive leaves is theirs";
  }
}

// Scavenger through a line that somebody else fills as well: a Cubic flow of a machine that we know nothing of. Both
// cross the same emulated line; each packet is answered after the way back.
class SharedLine {
 public:
  SharedLine(unsigned seed, milliseconds one_way, const std::string& queue)
      : one_way_(one_way),
        line_(*linkem::parse_spec("50mbit,delay=" + std::to_string(one_way.count()) + "ms~normal(300us)," +
                                  queue),
              seed, kStart) {}

  // One flow's packet: 1,400 bytes that carry who and when.
  void push(std::uint8_t flow, base::Time now) {
    std::vector<std::uint8_t> bytes(1400);
    bytes[0] = flow;
    packet::store_be64(&bytes[8], static_cast<std::uint64_t>(now.time_since_epoch().count()));
    packet::store_be64(&bytes[16], ++sent_[flow]);
    line_.push(bytes, now);
  }
  // Answers that are back by `now`: (flow, number, round trip).
  template <class Answered>
  void run_until(base::Time now, Answered answered) {
    while (auto packet = line_.pop(now)) {
      const auto b = packet->bytes();
      answers_.push_back({packet->at + one_way_, b[0], packet::load_be64(&b[16]),
                          base::Time{base::Duration{static_cast<std::int64_t>(packet::load_be64(&b[8]))}}});
    }
    while (!answers_.empty() && answers_.front().at <= now) {
      const Answer a = answers_.front();
      answers_.pop_front();
      answered(a.flow, a.number, a.at - a.sent, a.at);
    }
  }

 private:
  struct Answer {
    base::Time at;
    std::uint8_t flow;
    std::uint64_t number;
    base::Time sent;
  };
  milliseconds one_way_;
  linkem::Direction line_;
  std::map<std::uint8_t, std::uint64_t> sent_;
  std::deque<Answer> answers_;
};

// A bulk TCP of somebody else's: slow start, then Cubic; loss by three later answers.
struct CubicFlow {
  path::CubicWindow cubic;
  double window = 10 * 1400;
  bool slow_start = true;
  std::uint64_t sent = 0, highest = 0, acked = 0;
  std::uint64_t recovery = 0;

  bool may_send() const { return static_cast<double>((sent - acked) * 1400) < window; }
  void on_answer(std::uint64_t number, base::Duration rtt, base::Time now) {
    const std::uint64_t lost = number > highest + 1 ? number - highest - 1 : 0;
    highest = std::max(highest, number);
    acked += 1 + lost;
    if (lost != 0 && number > recovery) {
      if (slow_start) cubic.reset(window, now);
      slow_start = false;
      cubic.on_congestion(now);
      recovery = sent;
    }
    if (slow_start)
      window += 1400;
    else {
      cubic.on_ack(1400, rtt, now);
      window = cubic.bytes();
    }
  }
};

struct Yield {
  double alone = 0;   // share of the line that scavenger used by itself
  double beside = 0;  // bulk's share of what both got, from 200 ms after it began
  double after = 0;   // scavenger's, from a second after bulk went
};

Yield yield(unsigned seed, milliseconds one_way, const std::string& queue) {
  SharedLine line(seed, one_way, queue);
  qos::Yielder yielder;
  CubicFlow bulk;
  const base::Time begins = kStart + seconds{5}, ends = kStart + seconds{10}, over = kStart + seconds{14};
  std::uint64_t scavenger_highest = 0;
  double alone = 0, beside = 0, bulk_beside = 0, after = 0;
  for (base::Time now = kStart; now < over; now += microseconds{100}) {
    line.run_until(now, [&](std::uint8_t flow, std::uint64_t number, base::Duration rtt, base::Time at) {
      if (flow == 1) {
        bulk.on_answer(number, rtt, at);
        if (at >= begins + milliseconds{200} && at < ends) bulk_beside += 1400;
        return;
      }
      if (number > scavenger_highest + 1) yielder.on_loss(at);
      scavenger_highest = std::max(scavenger_highest, number);
      yielder.on_rtt(rtt, at);
      if (at >= kStart + seconds{2} && at < begins) alone += 1400;
      if (at >= begins + milliseconds{200} && at < ends) beside += 1400;
      if (at >= ends + seconds{1}) after += 1400;
    });
    while (yielder.ready(now)) {
      line.push(0, now);
      yielder.on_sent(1400, now);
    }
    while (now >= begins && now < ends && bulk.may_send()) {
      line.push(1, now);
      ++bulk.sent;
    }
  }
  return {alone * 8 / 3 / kLine, bulk_beside / (bulk_beside + beside), after * 8 / 3 / kLine};
}

TEST(QosSimulation, ScavengerYieldsToWhoeverElseFillsALineOutsideTheBox) {
  const std::pair<milliseconds, const char*> lines[] = {{milliseconds{5}, "limit=200ms"},
                                                        {milliseconds{20}, "limit=50ms"}};
  for (const auto& [one_way, queue] : lines)
    for (const unsigned seed : {1u, 2u, 3u}) {
      const Yield y = yield(seed, one_way, queue);
      std::printf(
          "%ld ms one way, queue %s, seed %u: alone %.2f of the line; bulk %.3f of both; after it %.2f\n",
          one_way.count(), queue, seed, y.alone, y.beside, y.after);
      EXPECT_GE(y.beside, 0.95);
      EXPECT_GE(y.alone, 0.7) << "it should use what nobody else wants";
      EXPECT_GE(y.after, 0.5) << "and come back";
    }
}

}  // namespace
}  // namespace qanat
