// Fine-tunes as a queue, and a model's switch at many gateways, as stories.
#include <gtest/gtest.h>

#include <random>

#include "gateway/jobs/tuning/model_switch.hh"
#include "gateway/jobs/tuning/tuning_queue.hh"

namespace qanat::jobs {
namespace {

using Kind = TuningAction::Kind;

class Queue : public testing::Test {
 protected:
  Queue() {
    queue_.set_pool({"near", "city", true, 1, 1000, 1e6, 900});
    queue_.set_pool({"far", "far1", true, 1, 4000, 1e6, 300});
  }
  // What the shell would do, with everything going well.
  std::vector<std::string> turn() {
    queue_.turn();
    std::vector<std::string> said;
    while (const auto action = queue_.poll_action()) {
      static constexpr const char* kNames[] = {"stage", "start", "snapshot", "cancel"};
      said.push_back(std::string(kNames[int(action->kind)]) + " " + action->job + " " + action->pool);
      if (action->kind == Kind::Stage && staging_works_) queue_.on_staged(action->job);
      if (action->kind == Kind::Snapshot) {
        ++steps_;
        queue_.on_checkpoint(action->job, steps_, "ckpt-" + std::to_string(steps_));
        queue_.on_yielded(action->job);
      }
    }
    return said;
  }
  void add(const std::string& id, Priority priority = Priority::Normal, const std::string& tenant = "lab") {
    TuningJob job;
    job.id = id;
    job.tenant = tenant;
    job.priority = priority;
    job.tokens = 100'000;
    job.steps = 100;
    queue_.add(job);
  }
  using Said = std::vector<std::string>;
  TuningQueue queue_;
  bool staging_works_ = true;
  std::uint64_t steps_ = 40;
};

TEST_F(Queue, FinishTimeCountsTheDatasWay) {
  TuningJob job;
  job.id = "a";
  job.tokens = 100'000;                  // 100 s at near, 25 s at far
  job.to_move = {{"far", 200'000'000}};  // and 200 s on the way there
  queue_.add(job);
  EXPECT_EQ(turn(), (Said{"stage a near", "start a near"}));
  job.id = "b";
  job.cheapest = true;
  queue_.add(job);
  EXPECT_EQ(turn(), (Said{"stage b far", "start b far"})) << "the other asked for the price";
}

TEST_F(Queue, TheHighTakesFromTheLowWhichGoesOnElsewhere) {
  add("low", Priority::Low);
  add("normal");
  EXPECT_EQ(turn(), (Said{"stage normal far", "stage low near", "start normal far", "start low near"}));
  add("high", Priority::High);
  EXPECT_EQ(turn(), (Said{"snapshot low near"})) << "never killed: its state is kept first";
  EXPECT_EQ(turn(), (Said{"stage high near", "start high near"}));
  queue_.on_ended("normal");
  EXPECT_EQ(turn(), (Said{"stage low far", "start low far"})) << "another region's idle pool";
  EXPECT_EQ(queue_.find("low")->checkpoint, "ckpt-41");
  EXPECT_EQ(queue_.find("low")->moves, 2u);
  EXPECT_EQ(turn(), Said{});
}

TEST_F(Queue, EqualsWait) {
  add("a"), add("b"), add("c");
  turn();
  EXPECT_EQ(queue_.find("c")->state, TuningState::Waiting);
  EXPECT_EQ(turn(), Said{});
  queue_.on_ended("b");
  EXPECT_EQ(turn().size(), 2u);
}

TEST_F(Queue, AQuotaIsLentAndTakenBack) {
  queue_.set_quota("owner", 1);
  add("x", Priority::Normal, "guest"), add("y", Priority::Normal, "guest");
  turn();
  add("mine", Priority::Normal, "owner");
  EXPECT_EQ(turn(), (Said{"snapshot y near"})) << "the one that came last";
  EXPECT_EQ(turn(), (Said{"stage mine near", "start mine near"}));
  add("more", Priority::Normal, "owner");
  EXPECT_EQ(turn(), Said{}) << "beyond its quota it is a guest itself";
}

TEST_F(Queue, APoolThatIsGoneCostsTheStepsSinceTheCheckpoint) {
  add("a");
  turn();
  queue_.on_checkpoint("a", 60, "ckpt-60");
  queue_.on_checkpoint("a", 50, "ckpt-50");  // late news
  queue_.on_pool_gone("far");
  EXPECT_EQ(turn(), (Said{"stage a near", "start a near"}));
  EXPECT_EQ(queue_.find("a")->step, 60u);
  EXPECT_EQ(queue_.find("a")->checkpoint, "ckpt-60");
  queue_.on_pool_gone("near");
  EXPECT_EQ(turn(), Said{});
  queue_.set_pool({"far", "far1", true, 1, 4000, 1e6, 300});
  EXPECT_EQ(turn(), (Said{"stage a far", "start a far"}));
}

TEST_F(Queue, ACheckpointThatComesHomeAfterTheEndIsNotCounted) {
  add("a");
  turn();
  queue_.on_checkpoint("a", 60, "ckpt-60");
  queue_.on_ended("a");  // what is billed is fixed from here on
  queue_.on_checkpoint("a", 80, "ckpt-80");
  EXPECT_EQ(queue_.find("a")->step, 60u);
  EXPECT_EQ(queue_.find("a")->checkpoint, "ckpt-60");
}

TEST_F(Queue, PauseKeepsResumeGoesOnCancelEnds) {
  add("a");
  turn();
  queue_.pause("a");
  EXPECT_EQ(turn(), (Said{"snapshot a far"}));
  EXPECT_EQ(queue_.find("a")->state, TuningState::Paused);
  EXPECT_EQ(turn(), Said{});
  queue_.resume("a");
  EXPECT_EQ(turn(), (Said{"stage a near", "start a near"}));
  queue_.cancel("a");
  EXPECT_EQ(turn(), (Said{"cancel a near"}));
  queue_.pause("a"), queue_.resume("a"), queue_.on_staged("a"), queue_.on_yielded("a");
  EXPECT_EQ(queue_.find("a")->state, TuningState::Ended);
}

TEST_F(Queue, WhatCannotBeStagedGoesElsewhere) {
  add("a");
  staging_works_ = false;
  EXPECT_EQ(turn(), (Said{"stage a far"}));
  queue_.on_stage_failed("a");
  EXPECT_EQ(turn(), (Said{"stage a near"}));
}

TEST_F(Queue, APoolThatIsAllowedLaterTakesWhatTheOthersLost) {
  TuningJob job;
  job.id = "a";
  job.tokens = 100'000;
  job.pools = {"near"};
  queue_.add(job);
  EXPECT_EQ(turn(), (Said{"stage a near", "start a near"}));
  queue_.on_pool_gone("near");
  EXPECT_EQ(turn(), Said{}) << "nobody else was asked";
  queue_.allow("a", "far", 0, 10);
  queue_.allow("a", "far", 0, 10);
  EXPECT_EQ(queue_.find("a")->pools, (Said{"near", "far"}));
  EXPECT_EQ(turn(), (Said{"stage a far", "start a far"}));
}

// Whatever happens: no pool has more than its places, no job is at two, and none is lost.
TEST_F(Queue, HoldsItsInvariantsUnderAnyEvents) {
  std::mt19937 random(7);
  for (int i = 0; i < 12; ++i) add("j" + std::to_string(i), Priority(i % 3), i % 2 ? "owner" : "guest");
  queue_.set_quota("owner", 1);
  std::vector<std::string> owed;
  for (int round = 0; round < 3000; ++round) {
    const std::string job = "j" + std::to_string(random() % 12), pool = random() % 2 ? "near" : "far";
    switch (random() % 9) {
      case 0: queue_.on_staged(job); break;
      case 1: queue_.on_stage_failed(job); break;
      case 2: queue_.on_checkpoint(job, random() % 100, "c"); break;
      case 3: queue_.on_yielded(job); break;
      case 4: queue_.on_pool_gone(pool); break;
      case 5: queue_.pause(job); break;
      case 6: queue_.resume(job); break;
      case 7: queue_.set_pool({pool, pool, true, 1 + unsigned(random() % 2), 1000, 1e6, 1}); break;
      default: queue_.turn();
    }
    while (queue_.poll_action()) {
    }
    std::map<std::string, unsigned> at;
    for (const auto& [id, one] : queue_.jobs()) {
      const bool placed = one.state == TuningState::Staging || one.state == TuningState::Running ||
                          one.state == TuningState::Yielding;
      EXPECT_EQ(placed, !one.pool.empty()) << id;
      if (placed) ++at[one.pool];
    }
    for (const auto& [id, count] : at) EXPECT_LE(count, 2u);
  }
}

// Gateways that answer, or do not, in any order: in the end all have the new version or all the old one.
TEST(ModelSwitch, AllOrNone) {
  std::mt19937 random(11);
  int done = 0, failed = 0;
  for (int run = 0; run < 400; ++run) {
    std::map<std::string, NamedModel> gateways;
    for (const char* name : {"a", "b", "c"}) gateways[name] = {"v1", "v0", 4, "", 0};
    const std::string deaf = run % 3 == 0 ? "b" : "";  // never prepares
    ModelSwitch change("chat", "v2", 5, {"a", "b", "c"});
    for (int step = 0; !change.over() && step < 1000; ++step) {
      const auto ask = change.to_ask();
      ASSERT_FALSE(ask.empty());
      const std::string& one = ask[random() % ask.size()];
      if (random() % 4 == 0) continue;  // the question was lost
      NamedModel& model = gateways[one];
      bool agreed = true;
      if (change.verb() == "prepare") {
        if (one == deaf) {
          change.give_up();
          continue;
        }
        agreed = bool(prepare(model, "v2", 5));
      } else if (change.verb() == "commit") {
        agreed = bool(commit(model, 5));
      } else {
        abort(model, 5);
      }
      if (random() % 4 == 0) continue;  // the answer was lost: it is asked again
      change.on_answer(one, agreed);
    }
    ASSERT_TRUE(change.over());
    const bool switched = change.state() == ModelSwitch::State::Done;
    (switched ? done : failed)++;
    for (const auto& [name, model] : gateways) {
      EXPECT_EQ(model.version, switched ? "v2" : "v1") << name;
      EXPECT_EQ(model.before, switched ? "v1" : "v0");
      EXPECT_EQ(model.generation, switched ? 5u : 4u);
      EXPECT_TRUE(model.next.empty());
    }
  }
  EXPECT_GT(done, 100);
  EXPECT_GT(failed, 100);
}

TEST(ModelSwitch, ARefusalIsAborted) {
  NamedModel model{"v1", "", 3, "", 0};
  EXPECT_EQ(prepare(model, "v2", 3).error(), Errc::SwitchRefused) << "an old generation";
  EXPECT_EQ(prepare(model, "v2", 5).error(), Errc::SwitchRefused) << "one was missed";
  EXPECT_TRUE(prepare(model, "v2", 4));
  EXPECT_TRUE(prepare(model, "v2", 4)) << "asked twice";
  EXPECT_EQ(prepare(model, "v3", 4).error(), Errc::SwitchRefused) << "somebody else is switching";
  abort(model, 7);
  EXPECT_EQ(model.next, "v2");
  EXPECT_EQ(commit(model, 5).error(), Errc::SwitchRefused);
  EXPECT_TRUE(commit(model, 4));
  EXPECT_TRUE(commit(model, 4)) << "told twice";
  EXPECT_EQ(model.version, "v2");
  EXPECT_EQ(model.before, "v1");
}

}  // namespace
}  // namespace qanat::jobs
