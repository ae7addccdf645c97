#include "gateway/pool/adopt/pace_meter.hh"

#include <algorithm>

namespace qanat::pool {
namespace {

double us(base::Duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

}  // namespace

void FadingLine::add(double x, double y) {
  for (double* sum : {&n_, &x_, &y_, &xx_, &xy_}) *sum *= kKept;
  n_ += 1;
  x_ += x;
  y_ += y;
  xx_ += x * x;
  xy_ += x * y;
}

double FadingLine::slope() const {
  if (n_ <= 0) return 0;
  const double spread = xx_ - x_ * x_ / n_;
  // Samples that hardly differ in x say nothing about the slope.
  if (spread < 1e-3 * std::max(1.0, xx_)) return 0;
  const double slope = (xy_ - x_ * y_ / n_) / spread;
  // A line that would be negative at zero goes through zero instead.
  return std::clamp(slope, 0.0, x_ > 0 ? y_ / x_ : 0.0);
}

double FadingLine::base() const { return n_ <= 0 ? 0 : std::max(0.0, (y_ - slope() * x_) / n_); }

void PaceMeter::on_first(std::uint64_t prompt_tokens, base::Duration ttft) {
  first_.add(double(prompt_tokens), us(ttft));
}

void PaceMeter::on_end(double calls, base::Duration mean) { further_.add(calls, us(mean)); }

descriptor::PrefillModel PaceMeter::prefill() const { return {first_.base(), first_.slope()}; }
descriptor::DecodeModel PaceMeter::decode() const { return {further_.base(), further_.slope(), 0}; }

}  // namespace qanat::pool
