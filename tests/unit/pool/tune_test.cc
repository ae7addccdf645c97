// Fine-tuning: what a step costs, how the loss falls, what a lost card takes and what a checkpoint saves.
#include "gateway/pool/tune/tune_job.hh"

#include <gtest/gtest.h>

#include <algorithm>

#include "gateway/pool/data/catalogue.hh"

namespace qanat::pool {
namespace {

TunePlan plan(std::uint32_t rank, std::uint32_t cards = 8) {
  TunePlan p;
  p.card = *built_in().card("H20");
  p.model = *built_in().model("llama-3.1-8b");
  p.cards = cards;
  p.lora_rank = rank;
  p.dataset_tokens = 40 * 16'384;
  p.checkpoint_steps = 10;
  return p;
}

double seconds(base::Duration d) { return std::chrono::duration<double>(d).count(); }

struct Training {
  TuneJob job;
  std::vector<TuneEvent> events;
  base::Time now{};
  explicit Training(const TunePlan& p) : job(p) { job.start(now); }
  void until(const auto& done) {
    while (!done() && job.next_timeout()) {
      now = *job.next_timeout();
      job.on_timer(now);
      while (const auto event = job.poll_event()) events.push_back(*event);
    }
  }
  std::size_t count(TuneEvent::Kind kind) const {
    return static_cast<std::size_t>(
        std::count_if(events.begin(), events.end(), [&](const TuneEvent& e) { return e.kind == kind; }));
  }
};

TEST(TunePlan, StepsArePricedByTheRooflineAndMemoryDecidesWhatFits) {
  const TunePlan full = plan(0), lora = plan(16);
  EXPECT_GT(full.step_time(), lora.step_time()) << "LoRA spares the weights' gradients";
  EXPECT_LT(full.step_time(), 3 * lora.step_time());
  // 6 FLOPs a weight and token at the card's efficiency is the floor of a full step.
  const double floor = 6 * 7.5e9 * 16'384 / (8 * 148e12 * full.card.fit.compute_efficiency);
  EXPECT_GT(seconds(full.step_time()), 0.9 * floor);
  EXPECT_LT(seconds(full.step_time()), 2.5 * floor);
  EXPECT_LT(plan(16, 8).step_time(), plan(16, 4).step_time());
  TunePlan big = plan(0);
  big.model = *built_in().model("deepseek-r1-distill-llama-70b");
  EXPECT_FALSE(big.fits()) << "16 bytes a weight are beyond eight cards";
  big.lora_rank = 16;
  EXPECT_TRUE(big.fits());
  big.card = *built_in().card("L40");
  big.cards = 2;
  EXPECT_FALSE(big.fits());
}

TEST(TunePlan, TheLossFallsToAFloorAndTheSeedDecidesItsNoise) {
  TunePlan p = plan(16);
  EXPECT_GT(p.loss(1), p.loss(100) + 0.3);
  EXPECT_GT(p.loss(100), p.loss(2000));
  EXPECT_GT(p.loss(1'000'000), 0.8);
  EXPECT_EQ(p.loss(7), plan(16).loss(7));
  p.seed = 2;
  EXPECT_NE(p.loss(7), plan(16).loss(7));
}

TEST(TuneJob, RunsToItsEndWithCheckpoints) {
  Training run(plan(16));
  run.until([&] { return run.job.state() == TuneState::Succeeded; });
  EXPECT_EQ(run.count(TuneEvent::Kind::Step), 40u);
  EXPECT_EQ(run.count(TuneEvent::Kind::Checkpoint), 4u);
  const auto& p = run.job.plan();
  EXPECT_EQ(run.now.time_since_epoch(), 40 * p.step_time() + 4 * p.checkpoint_time());
}

TEST(TuneJob, ALostCardCostsTheStepsSinceTheLastCheckpoint) {
  Training run(plan(16));
  run.until([&] { return run.job.step() == 17; });
  EXPECT_EQ(run.job.last_checkpoint(), 10u);
  run.job.lose(std::chrono::seconds(30), run.now);
  EXPECT_EQ(run.job.step(), 10u);
  EXPECT_EQ(run.job.steps_lost(), 7u);
  EXPECT_GT(*run.job.next_timeout() - run.now, std::chrono::seconds(30));
  run.until([&] { return run.job.state() == TuneState::Succeeded; });
  EXPECT_EQ(run.count(TuneEvent::Kind::Step), 47u) << "seven of them twice";
  EXPECT_EQ(run.count(TuneEvent::Kind::Restarted), 1u);
  // The same step has the same loss, before and after.
  double eleven = 0;
  for (const auto& e : run.events)
    if (e.kind == TuneEvent::Kind::Step && e.step == 11) {
      if (eleven == 0) eleven = e.loss;
      EXPECT_EQ(e.loss, eleven);
    }
}

TEST(TuneJob, GivesWayWithinTheStepAndTakesTheCardsBack) {
  Training run(plan(16));
  const base::Duration step = run.job.plan().step_time();
  run.now += step / 2;
  run.job.set_share(0.05, run.now);
  // Half a step is left, at a twentieth of the pace.
  EXPECT_NEAR(seconds(*run.job.next_timeout() - run.now), seconds(step) * 10, seconds(step) * 0.01);
  run.now += step * 5;
  run.job.set_share(1, run.now);
  EXPECT_NEAR(seconds(*run.job.next_timeout() - run.now), seconds(step) / 4, seconds(step) * 0.01);
}

TEST(TuneJob, PausesWithACheckpointResumesAndCancels) {
  Training run(plan(16));
  run.until([&] { return run.job.step() == 3; });
  run.job.pause(run.now);
  EXPECT_FALSE(run.job.next_timeout());
  EXPECT_EQ(run.job.last_checkpoint(), 3u);
  run.job.resume(run.now + std::chrono::hours(1));
  EXPECT_EQ(*run.job.next_timeout(), run.now + std::chrono::hours(1) + run.job.plan().step_time());
  run.job.cancel(run.now + std::chrono::hours(1));
  EXPECT_EQ(run.job.state(), TuneState::Cancelled);
  EXPECT_FALSE(run.job.next_timeout());
}

}  // namespace
}  // namespace qanat::pool
