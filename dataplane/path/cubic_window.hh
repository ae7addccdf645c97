// CubicWindow: the window of a Cubic flow in bytes (RFC 9438). Each of n pipes that share a bottleneck keeps one and takes
// its share of it, so that together they take what one flow would.
#pragma once

#include "base/time.hh"

namespace qanat::path {

class CubicWindow {
 public:
  void reset(double bytes, base::Time now);
  // Slow start: what was acked comes on top (RFC 9438 §4.10).
  void start(double acked_bytes, base::Time now);
  void on_ack(double acked_bytes, base::Duration rtt, base::Time now);
  void on_congestion(base::Time now);
  double bytes() const { return window_; }

 private:
  double window_ = 0, max_ = 0, origin_ = 0, reno_ = 0;
  double k_ = 0;  // seconds until the old maximum is reached again
  base::Time epoch_{};
};

}  // namespace qanat::path
