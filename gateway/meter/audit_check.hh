// AuditCheck: holds what a gateway said of its audit tree against itself, with nothing but what it said: an export (every
// checkpoint, then every leaf), a proof that a call is in the tree, or that one checkpoint is another's beginning. The
// documents are JSON, one a line; memory is bounded by checkpoints, not by leaves.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/audit/frontier.hh"
#include "gateway/meter/checkpoint.hh"

namespace qanat::meter {

class AuditCheck {
 public:
  // Public keys in base64 that are known from elsewhere.
  struct Trust {
    std::string gateway;                 // empty: any one key, the same for all
    std::vector<std::string> witnesses;  // all of them must have signed the last checkpoint
  };
  explicit AuditCheck(Trust trust) : trust_(std::move(trust)) {}

  // One document.
  void take(std::string_view line);

  struct Verdict {
    std::vector<std::string> problems;  // the first kMostProblems; empty: all of it holds
    std::uint64_t found = 0;            // problems in all
    std::string gateway, public_key;
    std::uint64_t leaves = 0, checkpoints = 0, proofs = 0, size = 0;
    std::vector<std::string> witnesses;  // whose cosignatures the last checkpoint has, names as it says them
  };
  static constexpr std::size_t kMostProblems = 20;
  Verdict finish();

 private:
  void problem(std::string what);
  std::optional<Checkpoint> checkpoint(const nlohmann::json& document);
  void leaf(const nlohmann::json& document);
  void proof(const nlohmann::json& document);
  void consistency(const nlohmann::json& document);

  Trust trust_;
  Verdict verdict_;
  std::map<std::uint64_t, audit::Digest> roots_;  // that checkpoints say, by size
  audit::Frontier leaves_;
  std::vector<std::string> last_witnesses_;  // their keys
};

}  // namespace qanat::meter
