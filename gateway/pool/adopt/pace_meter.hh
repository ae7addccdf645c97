// PaceMeter: how fast a server that we cannot see into answers, learned from its answers alone: two lines, refitted with
// every call, the past fading. They are the predictors that descriptors carry, so that gateways place calls there as
// they do anywhere.
//
//   first token   = base + per_token × prompt tokens
//   further token = base + per_sequence × calls under way
#pragma once

#include <cstdint>

#include "base/time.hh"
#include "identifiers/descriptor/descriptor.hh"

namespace qanat::pool {

// y = a + b·x by least squares with forgetting; both kept at or above zero, as times are.
class FadingLine {
 public:
  void add(double x, double y);
  double base() const;
  double slope() const;
  double samples() const { return n_; }

 private:
  static constexpr double kKept = 0.97;  // of each sample's weight, with every further one
  double n_ = 0, x_ = 0, y_ = 0, xx_ = 0, xy_ = 0;
};

class PaceMeter {
 public:
  void on_first(std::uint64_t prompt_tokens, base::Duration ttft);
  // `mean`: per token after the first; `calls`: under way on average meanwhile.
  void on_end(double calls, base::Duration mean);

  bool measured() const { return first_.samples() > 0; }
  descriptor::PrefillModel prefill() const;
  descriptor::DecodeModel decode() const;

 private:
  FadingLine first_, further_;
};

}  // namespace qanat::pool
