#include "gateway/jobs/tuning/model_switch.hh"

#include <utility>

namespace qanat::jobs {

Result<void> prepare(NamedModel& model, const std::string& version, std::uint64_t generation) {
  if (model.next_generation == generation && model.next == version) return {};
  if (generation != model.generation + 1 || !model.next.empty()) return Errc::SwitchRefused;
  model.next = version;
  model.next_generation = generation;
  return {};
}

Result<void> commit(NamedModel& model, std::uint64_t generation) {
  if (model.generation == generation) return {};
  if (model.next.empty() || model.next_generation != generation) return Errc::SwitchRefused;
  model.before = std::exchange(model.version, std::exchange(model.next, {}));
  model.generation = std::exchange(model.next_generation, 0);
  return {};
}

void abort(NamedModel& model, std::uint64_t generation) {
  if (model.next_generation != generation) return;
  model.next.clear();
  model.next_generation = 0;
}

ModelSwitch::ModelSwitch(std::string name, std::string version, std::uint64_t generation,
                         std::vector<std::string> gateways)
    : name_(std::move(name)),
      version_(std::move(version)),
      generation_(generation),
      gateways_(std::move(gateways)) {}

ModelSwitch::ModelSwitch(std::string name, std::string version, std::uint64_t generation,
                         std::vector<std::string> gateways, State decided)
    : ModelSwitch(std::move(name), std::move(version), generation, std::move(gateways)) {
  state_ = decided;
}

std::string_view ModelSwitch::verb() const {
  return state_ == State::Preparing ? "prepare" : state_ == State::Committing ? "commit" : "abort";
}

std::vector<std::string> ModelSwitch::to_ask() const {
  std::vector<std::string> list;
  if (over()) return list;
  for (const std::string& gateway : gateways_)
    if (answered_.find(gateway) == answered_.end()) list.push_back(gateway);
  return list;
}

void ModelSwitch::on_answer(const std::string& gateway, bool agreed) {
  if (over()) return;
  if (!agreed) {
    if (state_ == State::Preparing) give_up();
    return;  // a decision that was not heard is told again
  }
  answered_.insert(gateway);
  if (answered_.size() < gateways_.size()) return;
  if (state_ == State::Preparing) {
    state_ = State::Committing;
    answered_.clear();
  } else {
    state_ = state_ == State::Committing ? State::Done : State::Failed;
  }
}

void ModelSwitch::give_up() {
  if (state_ != State::Preparing) return;
  state_ = State::Aborting;
  answered_.clear();
}

std::string_view to_string(ModelSwitch::State state) {
  static constexpr std::string_view kNames[] = {"preparing", "committing", "aborting", "done", "failed"};
  return kNames[static_cast<std::size_t>(state)];
}

}  // namespace qanat::jobs
