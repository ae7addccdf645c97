// CallLog: the last decisions, for `explain` while a call runs and for calls that were never dispatched; the ledger
// keeps the rest. Bounded.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "gateway/relay/explain.hh"

namespace qanat::relay {

class CallLog {
 public:
  explicit CallLog(std::size_t capacity = 4096) : capacity_(capacity) {}
  // `decision` may still grow; what is asked for is how it stands then.
  void put(const std::string& call, std::string tenant, std::shared_ptr<const Explanation> decision);
  // The decision (JSON); nothing if unknown, forgotten or another tenant's. An empty tenant asks for anyone's.
  std::optional<std::string> find(const std::string& call, const std::string& tenant) const;
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string tenant;
    std::shared_ptr<const Explanation> decision;
  };
  std::size_t capacity_;
  std::unordered_map<std::string, Entry> entries_;
  std::deque<std::string> order_;
};

}  // namespace qanat::relay
