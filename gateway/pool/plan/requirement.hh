// Requirement: a task in its user's words (a model, so many streams, first token within, every further token within), and
// what a number of cards would make of it: the engine itself, run in virtual time under that load. No rule of thumb.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.hh"
#include "gateway/pool/engine/card.hh"
#include "gateway/pool/engine/profile.hh"

namespace qanat::pool {

struct Requirement {
  std::string model;  // a name in the model data
  std::uint32_t streams = 1;
  std::uint32_t input = 1024, output = 1024;  // tokens of one request
  base::Duration ttft = std::chrono::seconds(2);
  base::Duration tpot = std::chrono::milliseconds(100);  // of the mean request
};

// Mean over the requests of a closed loop: every stream sends its next request when the last has ended.
struct Prediction {
  bool fits = false;  // weights and one request's KV entries
  double ttft_s = 0, tpot_s = 0;
  double tokens_per_s = 0;         // output, all streams
  double stream_tokens_per_s = 0;  // output over the time from sending to the last token, mean over requests
  double kv_peak = 0;              // of the KV blocks, 1 is all
  bool holds(const Requirement& r) const {
    return fits && ttft_s <= std::chrono::duration<double>(r.ttft).count() &&
           tpot_s <= std::chrono::duration<double>(r.tpot).count();
  }
};

// One engine of `cards` cards under `streams` streams of the requirement's shape.
Prediction predict(const Card& card, std::uint32_t cards, const Model& model, const Profile& profile,
                   const Requirement& requirement, std::uint32_t streams);

// The most streams, up to `limit`, that one such engine serves within the requirement; 0: not even one.
std::uint32_t capacity(const Card& card, std::uint32_t cards, const Model& model, const Profile& profile,
                       const Requirement& requirement, std::uint32_t limit);

// The most streams, up to `limit`, of which each still gets this many tokens a second, first-token time included: the white
// paper's figure of merit.
std::uint32_t capacity_at_rate(const Card& card, std::uint32_t cards, const Model& model,
                               const Profile& profile, const Requirement& shape, double tokens_per_s,
                               std::uint32_t limit = 512);

}  // namespace qanat::pool
