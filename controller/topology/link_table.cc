#include "controller/topology/link_table.hh"

#include <algorithm>
#include <utility>

namespace qanat::topology {

using telemetry::LinkState;
namespace {

// Promises to tenants are about these two, of which a cost tells little or nothing: by a quarter, and by what can matter.
bool moved_by_a_quarter(std::uint32_t known, std::uint32_t now, std::uint32_t least) {
  const std::uint32_t by = known > now ? known - now : now - known;
  return by >= least && by >= std::max(known, now) / 4;
}
constexpr std::uint32_t kLeastJitterUs = 1'000, kLeastLossPpm = 300;

}  // namespace

std::optional<telemetry::Link> LinkTable::update(const telemetry::Link& link) {
  if (link.state == LinkState::Unknown) return erase(link.key);
  std::uint32_t cost =
      link.state == LinkState::Usable ? link_cost_us(link.rtt_us, link.loss_ppm) : kUnreachable;
  const auto [at, fresh] = links_.try_emplace(link.key);
  Published& known = at->second;
  const bool was_usable = known.cost_us != kUnreachable, usable = cost != kUnreachable;
  const bool news = fresh || known.link.state != link.state || was_usable != usable ||
                    (usable && (cost_moved(known.cost_us, cost) ||
                                moved_by_a_quarter(known.link.jitter_us, link.jitter_us, kLeastJitterUs) ||
                                moved_by_a_quarter(known.link.loss_ppm, link.loss_ppm, kLeastLossPpm)));
  if (!news) return std::nullopt;
  usable_ += (link.state == LinkState::Usable) - std::size_t{known.link.state == LinkState::Usable};
  const telemetry::Link before = fresh ? telemetry::Link{.key = link.key} : known.link;
  known = {link, cost};
  changes_.push_back(link.key);
  return before;
}

std::optional<telemetry::Link> LinkTable::erase(const telemetry::LinkKey& key) {
  const auto at = links_.find(key);
  if (at == links_.end()) return std::nullopt;
  usable_ -= at->second.link.state == LinkState::Usable;
  const telemetry::Link before = at->second.link;
  links_.erase(at);
  changes_.push_back(key);
  return before;
}

std::vector<telemetry::Link> LinkTable::forget(ids::NodeId node) {
  std::vector<telemetry::Link> gone;
  for (const auto& [key, published] : links_)
    if (key.from == node || key.to == node) gone.push_back(published.link);
  std::sort(gone.begin(), gone.end(),
            [](const telemetry::Link& a, const telemetry::Link& b) { return a.key < b.key; });
  for (const auto& link : gone) erase(link.key);
  return gone;
}

std::vector<telemetry::Link> LinkTable::take_changes() {
  std::vector<telemetry::Link> out;
  out.reserve(changes_.size());
  for (const telemetry::LinkKey& key : changes_) {
    const auto at = links_.find(key);
    out.push_back(at == links_.end() ? telemetry::Link{.key = key} : at->second.link);
  }
  changes_.clear();
  return out;
}

std::vector<telemetry::Link> LinkTable::links() const {
  std::vector<telemetry::Link> out;
  out.reserve(links_.size());
  for (const auto& [key, published] : links_) out.push_back(published.link);
  std::sort(out.begin(), out.end(),
            [](const telemetry::Link& a, const telemetry::Link& b) { return a.key < b.key; });
  return out;
}

}  // namespace qanat::topology
