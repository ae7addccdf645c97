#include "dataplane/forwarder/mode_watch.hh"

#include <algorithm>

namespace qanat::forwarder {

namespace {

constexpr std::size_t kMostPaths = 16;
constexpr int kForget = 4096;  // looks after which a least round trip has risen to what is measured

}  // namespace

ModeWatch::Least& ModeWatch::least_of(ids::PathId path) {
  const auto known =
      std::find_if(least_.begin(), least_.end(), [&](const Least& l) { return l.path == path; });
  if (known != least_.end()) return *known;
  if (least_.size() == kMostPaths) least_.erase(least_.begin());
  least_.push_back({path, base::Duration::max()});
  return least_.back();
}

bool ModeWatch::look(double rate, ids::PathId path, base::Duration rtt, std::uint32_t loss_ppm, bool limited,
                     base::Time now) {
  bool queue = false;
  if (rtt > base::Duration{}) {
    Least& least = least_of(path);
    least.rtt = rtt < least.rtt ? rtt : least.rtt + (rtt - least.rtt) / kForget;
    queue = rtt > least.rtt + kQueue;
  }
  const bool band = rate > kLeastRate && rate < kMostRate;
  const bool starved = loss_ppm > kLossPpm && rate > kLeastLossyRate && rate < kMostRate;
  settled_ = band || starved ? settled_ + 1 : 0;
  queued_ = queue && band ? queued_ + 1 : 0;
  // A queue may be our own CPU's for a moment; a loss is the path's.
  if ((settled_ > kSettled && queued_ >= kLooks) || (settled_ > 0 && loss_ppm > kLossPpm)) {
    managed_ = true;
    cause_ = now;
  }
  if (managed_ && limited) cause_ = now;
  if (managed_ && (rate >= kMostRate || now - cause_ >= kStay)) managed_ = false;
  return managed_;
}

}  // namespace qanat::forwarder
