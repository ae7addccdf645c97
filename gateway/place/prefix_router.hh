// PrefixRouter: among pools that are equally good for a call, the one that holds the beginning of its prompt, unless it
// has had more than its share: this gateway's own routing history in front of choose_by_prefix.
// Sans-I/O.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "gateway/place/prefix_choice.hh"
#include "gateway/place/prefix_history.hh"

namespace qanat::place {

class PrefixRouter {
 public:
  // `blocks`: of one pool that are remembered at most.
  explicit PrefixRouter(std::size_t blocks = 65'536) : blocks_(blocks) {}

  struct Choice {
    std::size_t at = 0;    // in `equal`
    std::size_t warm = 0;  // leading blocks of the prompt that the pool is taken to hold
  };
  // `equal`: pools by index, the usual favourite first; not empty.
  Choice choose(std::span<const std::size_t> equal, std::span<const PrefixHash> prompt,
                double prompt_tokens) const;
  // The call goes there, and has ended there: `tokens` as at its dispatch.
  void dispatch(std::size_t pool, std::span<const PrefixHash> prompt, double tokens);
  void finish(std::size_t pool, double tokens);
  // The pool lost its cache.
  void forget(std::size_t pool);

 private:
  struct Pool {
    PrefixHistory history;
    double in_flight = 0, placed = 0;
  };
  Pool& at(std::size_t pool);
  std::size_t blocks_;
  std::vector<Pool> pools_;
};

}  // namespace qanat::place
