// ModelSwitch: one name's version, changed at every gateway or at none. Two phases by generation: first every gateway
// says that it could (its pools have the version) and keeps that; then, once that is decided and kept, all do it. A call
// takes the version that stands at its admission and keeps it to its end, through retries: none is served by a mix.
// Sans-I/O; both sides of it.
//
//   coordinator   Preparing ── all ready ──> Committing ── all done ──> Done
//                     └──── one refuses, or the time is up ──> Aborting ── all told ──> Failed
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/jobs/errc.hh"

namespace qanat::jobs {

// What one gateway knows of one name.
struct NamedModel {
  std::string version;  // what calls get; empty: the name does not exist here yet
  std::string before;   // what they got before; where a rollback leads
  std::uint64_t generation = 0;
  std::string next;  // prepared, not yet in force; empty: nothing is
  std::uint64_t next_generation = 0;
  bool operator==(const NamedModel&) const = default;
};

// A participant's side. A generation that is not the next one is refused: somebody else is switching, or it is old.
Result<void> prepare(NamedModel& model, const std::string& version, std::uint64_t generation);
// Again is the same; without prepare() it is refused.
Result<void> commit(NamedModel& model, std::uint64_t generation);
void abort(NamedModel& model, std::uint64_t generation);

class ModelSwitch {
 public:
  enum class State : std::uint8_t { Preparing, Committing, Aborting, Done, Failed };
  // `gateways`: all that serve the name, this one too.
  ModelSwitch(std::string name, std::string version, std::uint64_t generation,
              std::vector<std::string> gateways);
  // A decision that was kept: it begins with telling.
  ModelSwitch(std::string name, std::string version, std::uint64_t generation,
              std::vector<std::string> gateways, State decided);

  // Whom to ask or tell now, and what: "prepare", "commit", "abort"; who answered is not named again.
  std::string_view verb() const;
  std::vector<std::string> to_ask() const;
  void on_answer(const std::string& gateway, bool agreed);
  void give_up();  // the time to prepare is over

  State state() const { return state_; }
  bool over() const { return state_ == State::Done || state_ == State::Failed; }
  const std::string& name() const { return name_; }
  const std::string& version() const { return version_; }
  std::uint64_t generation() const { return generation_; }

 private:
  std::string name_, version_;
  std::uint64_t generation_;
  std::vector<std::string> gateways_;
  std::set<std::string> answered_;
  State state_ = State::Preparing;
};

std::string_view to_string(ModelSwitch::State state);

}  // namespace qanat::jobs
