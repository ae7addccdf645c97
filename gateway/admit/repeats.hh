// Repeats: a caller's Idempotency-Key and what became of the call that brought it first, so that a repeat is answered
// rather than computed, delivered and billed again. Bounded in number and time; sans-I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>

#include "base/time.hh"

namespace qanat::admit {

class Repeats {
 public:
  static constexpr std::size_t kMost = 4096;
  static constexpr base::Duration kKept = std::chrono::minutes{10};
  static constexpr std::size_t kMaxKey = 255;  // bytes of the header's value

  enum class Seen : std::uint8_t {
    First,     // go on, and say end() or forget()
    UnderWay,  // the first has not ended
    Answered,  // the first ended and delivered something; `answer` holds it if it was kept
    Differs,   // another request came under this key
  };
  struct Found {
    Seen seen = Seen::First;
    std::string call;    // of the first
    std::string answer;  // its whole body; empty: a stream, cut short, or too large to keep
  };
  // `key` must tell tenants' API keys apart; `request` is a hash of the body.
  Found begin(const std::string& key, std::uint64_t request, const std::string& call, base::Time now);
  void end(const std::string& key, std::string answer);
  // Nothing was delivered: the same key may try again.
  void forget(const std::string& key) { entries_.erase(key); }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::uint64_t request = 0;
    std::string call, answer;
    bool ended = false;
    base::Time since{};
  };
  std::unordered_map<std::string, Entry> entries_;
  std::deque<std::pair<base::Time, std::string>> order_;
};

}  // namespace qanat::admit
