// What the command line of `qanat lab` and `qanat fault` said, and the lab it means.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tools/lab/state.hh"

namespace qanat::lab {

// Exit statuses of seams.md §1.
inline constexpr int kDone = 0, kFailed = 1, kWrongUsage = 2, kNotFound = 4;

struct Options {
  std::string file, name, lab, bin, target, direction = "both", output = "-", filter, at;
  std::string scenarios, event_log, json_file;
  std::vector<std::string> words;
  std::uint64_t seed = 1, count = 0;
  double seconds = 0, minutes = 3, bound_s = 15;
  bool as_json = false, underlay_only = false, user_namespace = false, quiet = false;
};

// The lab that --lab names, or the only one there is. Throws std::out_of_range that says what to do.
LabState find_lab(const Options& options);
// Prints `report` with --json, or else the sentence.
void answer(const Options& options, const nlohmann::json& report, const std::string& sentence);

}  // namespace qanat::lab
