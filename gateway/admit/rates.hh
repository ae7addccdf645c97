// Rates: how many calls and tokens a minute a key may come to, as two buckets that fill evenly and hold a minute's worth.
// A call takes the most tokens it can come to when it is let in, and what it did not use goes back when it ends: calls in
// flight cannot use the same minute twice. Sans-I/O; of this gateway alone, and fresh after a restart.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.hh"
#include "gateway/admit/accounts.hh"

namespace qanat::admit {

class Rates {
 public:
  // Why not, and how long until it would be let in if nobody else came; `never`: it is larger than a minute's worth.
  struct Refusal {
    bool of_tokens = false;
    bool never = false;
    base::Duration retry_after{};
  };
  // One call of at most so many tokens. Nothing is taken on refusal. A key without limits is always let in.
  std::optional<Refusal> take(const KeyInfo& key, std::uint64_t tokens, base::Time now);
  // A call that was let in has ended: it took so many, and used these. One that used more owes them to the next ones.
  void settle(const KeyInfo& key, std::uint64_t taken, std::uint64_t used, base::Time now);

  // How a bucket stands: what is left of it, and how long until it is full again.
  struct Level {
    std::uint64_t limit = 0, left = 0;
    base::Duration full_in{};
  };
  Level calls(const KeyInfo& key, base::Time now) const;
  Level tokens(const KeyInfo& key, base::Time now) const;

 private:
  struct Bucket {
    double used = 0;  // of a minute's worth, at `at`
    base::Time at{};
    double used_at(std::uint64_t limit, base::Time now) const;
    Level level(std::uint64_t limit, base::Time now) const;
  };
  struct Buckets {
    Bucket calls, tokens;
  };
  const Buckets* find(const KeyInfo& key) const;

  std::map<std::string, Buckets, std::less<>> buckets_;  // by key id; of keys with limits only
};

}  // namespace qanat::admit
