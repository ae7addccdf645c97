// PoolLoad: the calls this gateway has at one pool. Counted at dispatch, not at the first byte: a burst must
// not all go to a pool whose sample has not noticed it yet.
#pragma once

#include <cstdint>
#include <deque>
#include <map>

#include "base/time.hh"
#include "gateway/place/forecast.hh"

namespace qanat::place {

class PoolLoad {
 public:
  struct Ticket {
    base::Time dispatched{};
    std::uint64_t serial = 0;
  };
  Ticket dispatch(std::uint64_t prompt_tokens, base::Time now);
  // `output_tokens` 0: it produced nothing, and teaches nothing about output lengths.
  void finish(const Ticket& ticket, std::uint64_t output_tokens, base::Time now);

  // What a sample that was asked for at `sampled` cannot know. Counted anew for a sample not asked about last; of the
  // calls that ended, the last few thousand.
  Unseen since(base::Time sampled) const;
  std::size_t in_flight() const { return open_.size(); }

 private:
  struct Ended {
    base::Time dispatched, ended;
  };
  // Of the sample that was asked about last, kept up to date: thousands of calls end between two samples.
  struct Counted {
    base::Time sampled = base::Time::max();
    Unseen unseen;
  };
  void count(base::Time sampled) const;

  std::map<std::pair<base::Time, std::uint64_t>, std::uint64_t> open_;  // → prompt tokens
  std::deque<Ended> ended_;                                             // of the last few seconds, by end
  mutable Counted counted_;
  std::uint64_t next_serial_ = 0;
  double mean_output_tokens_ = 256.0;
  double mean_prompt_tokens_ = 0;
};

}  // namespace qanat::place
