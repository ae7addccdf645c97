#include "controller/telemetry/talk_book.hh"

namespace qanat::telemetry {

void TalkBook::on_report(ids::NodeId from, const Counts& sent, base::Time now) {
  auto& peers = known_[from];
  std::erase_if(peers, [&](const auto& row) { return !sent.contains(row.first); });
  for (const auto& [to, bytes] : sent) {
    const auto [at, fresh] = peers.try_emplace(to);
    Row& row = at->second;
    if (!fresh && bytes > row.bytes) {
      row.talks = true;
      row.heard = now;
    }
    row.bytes = bytes;
  }
}

void TalkBook::forget(ids::NodeId node) {
  known_.erase(node);
  for (auto& [from, peers] : known_) peers.erase(node);
}

}  // namespace qanat::telemetry
