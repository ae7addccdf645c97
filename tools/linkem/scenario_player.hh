// ScenarioPlayer: puts a scenario's changes to work on a LinkLoop's links at their times.
// Everything but the constructor is for the loop's thread, or before it runs.
#pragma once

#include <cstdint>
#include <memory>

#include "tools/linkem/change_log.hh"
#include "tools/linkem/link_loop.hh"
#include "tools/linkem/scenario.hh"

namespace qanat::linkem {

class ScenarioPlayer {
 public:
  // `seed` is for scenarios that have none. All outlive it, and its loop's run.
  ScenarioPlayer(LinkLoop& loop, ChangeLog& log, std::uint64_t seed) : loop_(loop), log_(log), seed_(seed) {}

  // Instead of what may be running; time 0 is `now`. Returns how many changes there will be.
  // Throws when a file that it names cannot be read.
  std::size_t start(const Scenario& scenario, const LinkLoop::Links& links, base::Time now);
  // What has been applied stays; what was to be undone is not.
  void stop();

  struct Progress {
    std::size_t applied = 0, left = 0;
  };
  Progress progress() const;

 private:
  struct Run;
  LinkLoop& loop_;
  ChangeLog& log_;
  std::uint64_t seed_;
  std::shared_ptr<Run> run_;
};

}  // namespace qanat::linkem
