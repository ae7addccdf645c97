// Paths that die, half die, flap, narrow and reorder, in virtual time: traffic moves within the detection time, and no
// route flaps more often than the hysteresis allows. Each test prints its seeds and what it measured.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/sim/failures_world.hh"

namespace qanat::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr base::Duration kDetection = milliseconds{45};       // of a cut, beside the reverse one-way delay
constexpr base::Duration kGrayDetection = milliseconds{600};  // of 30 % loss, in the worst of many trials
constexpr base::Duration kGrayMedian = milliseconds{200};

double ms(base::Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

enum class Death { TwoWay, Forth, Back, Gray };

void strike(FailuresWorld& world, std::size_t path, Death death) {
  for (int side = 0; side < 2; ++side) {
    FailuresWorld::Link& link = world.links[side][path];
    if (death == Death::Gray) link.loss = 0.3;
    if (death == Death::TwoWay || (death == Death::Forth) == (side == 0)) link.down = death != Death::Gray;
  }
}

// Each trial is a world of its own: the path in use is struck at a random instant. Side 0's flow is measured, or side
// 1's for what only goes back. The cut, less the reverse delay and by what the backup is longer (DESIGN §12), ascending.
std::vector<base::Duration> trials(Death death, int count, std::uint32_t seed, base::Duration jitter) {
  std::vector<base::Duration> cuts;
  for (int i = 0; i < count; ++i) {
    FailuresWorld world(seed + static_cast<std::uint32_t>(i));
    for (auto& direction : world.links)
      for (auto& link : direction) link.jitter = jitter;
    world.run(milliseconds{600} + std::chrono::microseconds{world.random()() % 20'000});
    const int side = death == Death::Back ? 1 : 0;
    EXPECT_EQ(world.chosen(side), 0u);
    const std::size_t before = world.switches(0) + world.switches(1);
    world.forget_cuts();
    const base::Time struck = world.now;
    strike(world, 0, death);
    world.run_until_switched(side, seconds{2});
    EXPECT_NE(world.chosen(side), 0u) << "seed " << seed + i;
    if (death == Death::Gray) {
      cuts.push_back(world.now - struck);
    } else {
      world.run(milliseconds{200});
      const base::Duration longer = world.links[side][1].delay - world.links[side][0].delay;
      cuts.push_back(world.longest_cut(side) - world.links[1 - side][1].delay - longer);
      // The other end moves as well exactly when its own direction is cut.
      const std::size_t moves = world.switches(0) + world.switches(1) - before;
      EXPECT_EQ(moves, death == Death::TwoWay ? 2u : 1u) << "seed " << seed + i;
    }
  }
  std::sort(cuts.begin(), cuts.end());
  return cuts;
}

void report(const char* what, const std::vector<base::Duration>& cuts, std::uint32_t seed) {
  std::printf("%s, seeds %u+%zu: median %.1f, largest %.1f ms\n", what, seed, cuts.size(),
              ms(cuts[cuts.size() / 2]), ms(cuts.back()));
}

TEST(Failures, TrafficLeavesADeadPathWithinTheDetectionTime) {
  const struct {
    Death death;
    const char* name;
  } deaths[] = {{Death::TwoWay, "two-way"}, {Death::Forth, "one-way forth"}, {Death::Back, "one-way back"}};
  for (const auto& [death, name] : deaths) {
    const auto quiet = trials(death, 20, 100, {});
    report(name, quiet, 100);
    EXPECT_LE(quiet.back(), milliseconds{27}) << name;
    const auto noisy = trials(death, 15, 200, milliseconds{1});
    report((std::string(name) + ", 1 ms of jitter").c_str(), noisy, 200);
    EXPECT_LE(noisy.back(), kDetection) << name;
  }
}

TEST(Failures, TrafficLeavesAGrayPath) {
  const auto found = trials(Death::Gray, 40, 300, {});
  report("gray (30 %) until moved", found, 300);
  EXPECT_LE(found[found.size() / 2], kGrayMedian);
  EXPECT_LE(found.back(), kGrayDetection);
}

// A gray path stays left as long as it is gray, and is used again some time after.
TEST(Failures, AGrayPathIsReturnedToOnlyWhenItIsWell) {
  FailuresWorld world(17);
  world.run(seconds{1});
  strike(world, 0, Death::Gray);
  world.run(seconds{30});
  EXPECT_NE(world.chosen(0), 0u);
  const std::size_t moved = world.switches(0);
  EXPECT_LE(moved, 4u) << "seed 17";  // the first choices, and one move
  for (auto& direction : world.links) direction[0].loss = 0;
  world.run(seconds{20});
  EXPECT_EQ(world.chosen(0), 0u);
  EXPECT_EQ(world.switches(0), moved + 1) << "seed 17";
}

// Loops that do not run for up to 60 ms, an emulator that stops all links for up to 40 ms, and links that stop singly
// for a few: no reason to move.
TEST(Failures, NoFalseSwitchWhileEverythingStalls) {
  for (const std::uint32_t seed : {1u, 2u, 3u}) {
    FailuresWorld world(seed);
    for (auto& direction : world.links)
      for (auto& link : direction) link.jitter = std::chrono::microseconds{300};
    world.run(seconds{2});
    const std::size_t before = world.switches(0) + world.switches(1);
    world.box_stalls = {milliseconds{150}, milliseconds{60}};
    world.emulator_stalls = {milliseconds{200}, milliseconds{40}};
    world.link_stalls = {milliseconds{300}, milliseconds{8}};
    world.run(seconds{20});
    EXPECT_EQ(world.switches(0) + world.switches(1), before) << "seed " << seed;
  }
}

// Noise, usual loss and 10 % of reordering are none either.
TEST(Failures, NoFalseSwitchByNoiseLossOrReordering) {
  for (const std::uint32_t seed : {11u, 12u}) {
    FailuresWorld world(seed);
    for (auto& direction : world.links)
      for (auto& link : direction) {
        link.jitter = milliseconds{3};
        link.loss = 0.02;
        link.reordered = 0.1;
      }
    world.run(seconds{4});
    const std::size_t before = world.switches(0) + world.switches(1);
    world.run(seconds{20});
    EXPECT_EQ(world.switches(0) + world.switches(1), before) << "seed " << seed;
    EXPECT_LE(world.prober(0).view(0).loss_ppm, 80'000u);
  }
}

// Flaps faster than the first hold-down: left once. Slower ones: each return is held down twice as long as the last.
TEST(Failures, AFlappingPathMovesTrafficNoOftenerThanTheHysteresisAllows) {
  const struct {
    base::Duration up, down;
    std::size_t most;  // moves in 35 s, there and back
  } patterns[] = {{milliseconds{700}, milliseconds{150}, 2},
                  {milliseconds{3000}, milliseconds{300}, 6},
                  {milliseconds{9000}, milliseconds{1000}, 9}};
  for (const auto& [up, down, most] : patterns) {
    FailuresWorld world(21);
    world.run(seconds{2});
    const std::size_t before = world.switches(0);
    for (const base::Time end = world.now + seconds{35}; world.now < end;) {
      strike(world, 0, Death::TwoWay);
      world.run(down);
      for (auto& direction : world.links) direction[0].down = false;
      world.run(up);
    }
    const std::size_t moves = world.switches(0) - before;
    std::printf("up %.0f, down %.0f ms, seed 21: %zu moves in 35 s\n", ms(up), ms(down), moves);
    EXPECT_GE(moves, 1u);
    EXPECT_LE(moves, most) << ms(up) << " up, " << ms(down) << " down";
  }
}

// A path that narrows is known to be narrower at once, found out exactly a little later, and not left for it.
TEST(Failures, APathWhoseMtuShrinksIsNarrowedNotLeft) {
  for (const std::uint32_t seed : {31u, 32u, 33u}) {
    FailuresWorld world(seed);
    world.run(seconds{5});
    ASSERT_EQ(world.prober(0).mtu(0), 1472);
    const std::size_t before = world.switches(0) + world.switches(1);
    world.run(std::chrono::microseconds{world.random()() % 100'000});
    for (auto& direction : world.links) direction[0].mtu = 1350;
    const base::Time shrunk = world.now;
    while (world.prober(0).mtu(0) > 1350 && world.now < shrunk + seconds{5}) world.run(milliseconds{1});
    std::printf("seed %u: narrowed after %.1f ms\n", seed, ms(world.now - shrunk));
    EXPECT_LE(world.now - shrunk, milliseconds{250});
    world.run(seconds{5});
    EXPECT_LE(world.prober(0).mtu(0), 1350);
    EXPECT_GE(world.prober(0).mtu(0), 1350 - path::kSearchStep);
    EXPECT_EQ(world.switches(0) + world.switches(1), before) << "seed " << seed;
  }
}

// What it costs: probes a second of both boxes, with traffic.
TEST(Failures, ProbesStayFew) {
  FailuresWorld world(41);
  world.run(seconds{2});
  const std::uint64_t before = world.probes_sent();
  world.run(seconds{5});
  // Each box: 200 + 200 + 100 a second.
  EXPECT_NEAR(static_cast<double>(world.probes_sent() - before), 5000, 500);
}

}  // namespace
}  // namespace qanat::test
