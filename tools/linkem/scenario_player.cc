#include "tools/linkem/scenario_player.hh"

#include <map>

#include "tools/linkem/links_file.hh"

namespace qanat::linkem {

// What one start() set in motion. Timers hold it; a stopped one lets them pass.
struct ScenarioPlayer::Run {
  struct Done {
    Spec before_up, before_down, after_up, after_down;
  };
  bool stopped = false;
  std::size_t applied = 0, planned = 0;
  std::map<std::size_t, Done> undoable;
  std::map<std::string, Spec> loaded;  // by items: files are read before the first change

  void apply(const TimedChange& change, TunLink& link, ChangeLog& log, base::Time now,
             base::Time planned_at) {
    Spec up = link.config().up, down = link.config().down;
    if (change.undo) {
      const Done& done = undoable.at(change.number);
      if (change.up) undo(up, done.before_up, done.after_up);
      if (change.down) undo(down, done.before_down, done.after_down);
      undoable.erase(change.number);
    } else {
      const Spec before_up = up, before_down = down;
      for (Spec* spec : {change.up ? &up : nullptr, change.down ? &down : nullptr}) {
        if (!spec) continue;
        *spec = *parse_spec(change.items, *spec);
        const Spec& files = loaded.at(change.items);
        if (!files.trace.empty()) spec->trace_data = files.trace_data;
        if (files.jitter_data) spec->jitter_data = files.jitter_data;
      }
      undoable[change.number] = {before_up, before_down, up, down};
    }
    log.apply(link, up, down, now, "scenario", planned_at);
    ++applied;
  }
};

std::size_t ScenarioPlayer::start(const Scenario& scenario, const LinkLoop::Links& links, base::Time now) {
  stop();
  std::vector<std::string> names;
  for (const auto& link : links) names.push_back(link->config().name);
  run_ = std::make_shared<Run>();
  const auto changes = expand(scenario, names, seed_);
  run_->planned = changes.size();
  for (const auto& change : changes) {
    if (run_->loaded.contains(change.items)) continue;
    Spec spec = *parse_spec(change.items);
    load_files(spec);
    run_->loaded.emplace(change.items, std::move(spec));
  }
  for (const auto& change : changes)
    loop_.at(now + change.at, [run = run_, change, &log = log_, at = now + change.at](LinkLoop::Links& all,
                                                                                      base::Time applied_at) {
      if (run->stopped) return;
      for (const auto& link : all)
        if (link->config().name == change.link) run->apply(change, *link, log, applied_at, at);
    });
  return changes.size();
}

void ScenarioPlayer::stop() {
  if (run_) run_->stopped = true;
  run_.reset();
}

ScenarioPlayer::Progress ScenarioPlayer::progress() const {
  if (!run_) return {};
  return {run_->applied, run_->planned - run_->applied};
}

}  // namespace qanat::linkem
