// CallLog: the last decisions, for `explain` while a call runs and for calls that were never dispatched; the ledger
// keeps the rest. Bounded, and what the ledger has goes soon: thousands of decisions that nobody asks for would push
// what calls work with out of the CPU's caches.
#pragma once

#include <cstddef>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "gateway/relay/explain.hh"

namespace qanat::relay {

class CallLog {
 public:
  // So many stay that the ledger has: who asked it just before that finds them here.
  static constexpr std::size_t kStay = 64;

  explicit CallLog(std::size_t capacity = 4096) : capacity_(capacity) {}
  // `decision` may still grow; what is asked for is how it stands then.
  void put(const std::string& call, std::string tenant, std::shared_ptr<const Explanation> decision);
  // The ledger has it now.
  void leave(std::string call);
  // The decision (JSON); nothing if unknown, forgotten or another tenant's. An empty tenant asks for anyone's.
  std::optional<std::string> find(const std::string& call, const std::string& tenant) const;
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string call, tenant;
    std::shared_ptr<const Explanation> decision;
  };
  void erase(const std::string& call);

  std::size_t capacity_;
  std::list<Entry> entries_;  // oldest first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_call_;
  std::deque<std::string> left_;
};

}  // namespace qanat::relay
