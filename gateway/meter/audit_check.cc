#include "gateway/meter/audit_check.hh"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gateway/meter/call_leaf.hh"
#include "gateway/meter/signing_key.hh"

namespace qanat::meter {

using audit::Digest;
using nlohmann::json;

namespace {

std::string text_of(const json& document, const char* name) {
  const auto it = document.find(name);
  return it != document.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::uint64_t number_of(const json& document, const char* name) {
  const auto it = document.find(name);
  return it != document.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : UINT64_MAX;
}

std::optional<std::vector<Digest>> path_of(const json& document, const char* name) {
  const auto it = document.find(name);
  if (it == document.end() || !it->is_array()) return std::nullopt;
  std::vector<Digest> path;
  for (const json& step : *it) {
    const auto digest = step.is_string() ? audit::parse_digest(step.get<std::string>()) : std::nullopt;
    if (!digest) return std::nullopt;
    path.push_back(*digest);
  }
  return path;
}

}  // namespace

void AuditCheck::problem(std::string what) {
  ++verdict_.found;
  if (verdict_.problems.size() < kMostProblems) verdict_.problems.push_back(std::move(what));
}

void AuditCheck::take(std::string_view line) {
  const json document = json::parse(line, nullptr, false);
  const std::string kind = document.is_object() ? text_of(document, "kind") : std::string();
  if (kind == "checkpoint")
    checkpoint(document);
  else if (kind == "leaf")
    leaf(document);
  else if (kind == "proof")
    proof(document);
  else if (kind == "consistency")
    consistency(document);
  else
    problem("a line that is no checkpoint, leaf, proof or consistency: " + std::string(line.substr(0, 80)));
}

std::optional<Checkpoint> AuditCheck::checkpoint(const json& document) {
  const std::string text = text_of(document, "text"), key = text_of(document, "public_key");
  const auto said = parse_checkpoint(text);
  if (!said) return problem("a checkpoint that cannot be read: " + text.substr(0, 80)), std::nullopt;
  const std::string name = "the checkpoint of " + std::to_string(said->size) + " leaves";
  ++verdict_.checkpoints;
  if (verdict_.public_key.empty()) {
    verdict_.public_key = key;
    verdict_.gateway = said->gateway;
  }
  if (key != verdict_.public_key || (!trust_.gateway.empty() && key != trust_.gateway))
    problem(name + " is signed with another key: " + key);
  if (said->gateway != verdict_.gateway) problem(name + " is of another gateway: " + said->gateway);
  if (!verify(text, text_of(document, "signature"), key)) problem(name + " has a signature that is not good");
  const auto [known, fresh] = roots_.emplace(said->size, said->root);
  if (!fresh && known->second != said->root) problem("there are two of " + name.substr(4));
  std::vector<std::string> names, keys;
  for (const json& one : document.value("cosignatures", json::array())) {
    const std::string witness = text_of(one, "public_key");
    const auto time = static_cast<std::int64_t>(number_of(one, "unix_s"));
    if (!verify(cosigned_text(text, time), text_of(one, "signature"), witness))
      problem(name + " has a cosignature that is not good: " + text_of(one, "name"));
    names.push_back(text_of(one, "name"));
    keys.push_back(witness);
  }
  if (said->size >= verdict_.size) {
    verdict_.size = said->size;
    verdict_.witnesses = std::move(names);
    last_witnesses_ = std::move(keys);
  }
  return said;
}

void AuditCheck::leaf(const json& document) {
  const std::uint64_t number = number_of(document, "number");
  const std::string text = text_of(document, "leaf"), call = text_of(document, "call");
  if (number != leaves_.size())
    problem("leaf " + std::to_string(leaves_.size()) + " is missing: after " +
            std::to_string(leaves_.size()) + " leaves comes number " + std::to_string(number));
  if (const std::string row = text_of(document, "row"); row == "differs")
    problem("call " + call + ": the books say something else than its leaf, " + text);
  else if (row == "missing")
    problem("call " + call + ": it is not in the books any more; its leaf is " + text);
  if (!call.empty())
    if (const json said = json::parse(text, nullptr, false);
        !said.is_object() || text_of(said, "call") != call)
      problem("leaf " + std::to_string(number) + " is another call's than " + call);
  leaves_.push(audit::leaf_hash(text));
  ++verdict_.leaves;
  if (const auto it = roots_.find(leaves_.size()); it != roots_.end() && it->second != leaves_.root()) {
    const auto before = it == roots_.begin() ? 0 : std::prev(it)->first;
    problem("the leaves from " + std::to_string(before) + " to " + std::to_string(it->first - 1) +
            " are not those that were signed: one was changed, taken out, or put elsewhere");
  }
}

void AuditCheck::proof(const json& document) {
  ++verdict_.proofs;
  const std::string call = text_of(document, "call"), leaf = text_of(document, "leaf");
  const auto said = checkpoint(document.value("checkpoint", json::object()));
  const auto path = path_of(document, "inclusion");
  if (!said) return;
  if (!path ||
      !audit::included(audit::leaf_hash(leaf), number_of(document, "number"), said->size, *path, said->root))
    problem("call " + call + " is not in the tree of the checkpoint");
  const json fields = json::parse(leaf, nullptr, false);
  if (!fields.is_object() || text_of(fields, "call") != call)
    return problem("the leaf is another call's than " + call);
  const json all = document.value("opened", json::object());
  for (const auto& [name, opened] : all.items())
    if (text_of(fields, name.c_str()) != commitment(text_of(opened, "salt"), text_of(opened, "value")))
      problem("call " + call + ": " + name + " is not " + text_of(opened, "value"));
}

void AuditCheck::consistency(const json& document) {
  ++verdict_.proofs;
  const auto from = checkpoint(document.value("from", json::object()));
  const auto to = checkpoint(document.value("to", json::object()));
  const auto path = path_of(document, "path");
  if (!from || !to) return;
  if (!path || !audit::consistent(from->size, to->size, from->root, to->root, *path))
    problem("the tree of " + std::to_string(to->size) + " leaves does not begin with that of " +
            std::to_string(from->size));
}

AuditCheck::Verdict AuditCheck::finish() {
  if (verdict_.checkpoints == 0) problem("there is no checkpoint: nothing was signed");
  if (verdict_.leaves != 0 && verdict_.size > verdict_.leaves)
    problem("leaves are missing at the end: " + std::to_string(verdict_.size) + " were signed, there are " +
            std::to_string(verdict_.leaves));
  for (const std::string& witness : trust_.witnesses)
    if (std::find(last_witnesses_.begin(), last_witnesses_.end(), witness) == last_witnesses_.end())
      problem("the last checkpoint has no cosignature of " + witness);
  return std::move(verdict_);
}

}  // namespace qanat::meter
