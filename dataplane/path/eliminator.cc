#include "dataplane/path/eliminator.hh"

#include <algorithm>

namespace qanat::path {
namespace {
constexpr std::uint64_t kUnwrapped = std::uint64_t{1}
                                     << 48;  // where counting begins: room for what came before
}  // namespace

bool Eliminator::first(const StreamId& id, std::uint64_t sequence, base::Time session, base::Time now) {
#ifdef QANAT_MUTATE_DUPLICATE_ELIMINATION
  return true;
#endif
  const auto it = by_id_.find(id.packed());
  if (it == by_id_.end()) {
    open(id, sequence, session, now);
    return true;
  }
  streams_.splice(streams_.end(), streams_, it->second);
  Stream& stream = *it->second;
  stream.used = now;
  const std::int64_t ahead = sequence_distance(sequence, stream.newest);
  const auto reach = static_cast<std::int64_t>(width(stream));
  if (ahead <= -reach) {
    if (session <= stream.session) return false;  // too old to tell, so not twice
    begin(stream, sequence, session, now);
    return true;
  }
  if (ahead > reach && session < stream.session) return false;
  stream.session = std::max(stream.session, session);
  const std::uint64_t number = stream.newest + static_cast<std::uint64_t>(ahead);
  if (ahead > 0) advance(stream, number, now);
  return mark(stream, number);
}

Eliminator::Stream& Eliminator::open(const StreamId& id, std::uint64_t sequence, base::Time session,
                                     base::Time now) {
  if (streams_.size() == std::max<std::size_t>(options_.streams, 1)) drop_oldest();
  Stream& stream = streams_.emplace_back();
  stream.id = id;
  stream.used = now;
  by_id_.emplace(id.packed(), std::prev(streams_.end()));
  begin(stream, sequence, session, now);
  return stream;
}

void Eliminator::begin(Stream& stream, std::uint64_t sequence, base::Time session, base::Time now) {
  stream.newest = kUnwrapped + (sequence & kSequenceMask);
  stream.session = session;
  stream.lap_began = now;
  stream.lap_from = stream.newest;
  stream.seen.assign(kLeastWindow / 64 + 1, 0);
  mark(stream, stream.newest);
}

void Eliminator::advance(Stream& stream, std::uint64_t to, base::Time now) {
  // A window that is crossed sooner than two copies may lie apart is too narrow for this stream's speed.
  if (to - stream.lap_from >= width(stream)) {
    const bool fast = now - stream.lap_began < options_.skew;
    const bool jump = to - stream.newest >= width(stream);
    if (fast && !jump && width(stream) < kMostWindow) widen(stream);
    stream.lap_began = now;
    stream.lap_from = to;
  }
  const std::size_t words = stream.seen.size();
  const std::uint64_t steps = std::min<std::uint64_t>(to / 64 - stream.newest / 64, words);
  for (std::uint64_t i = 0; i < steps; ++i) stream.seen[(to / 64 - i) % words] = 0;
  stream.newest = to;
}

// What lies further back than the window reached counts as seen: it may have been.
void Eliminator::widen(Stream& stream) {
  const std::size_t before = stream.seen.size();
  std::vector<std::uint64_t> wider(2 * (before - 1) + 1, ~std::uint64_t{0});
  for (std::size_t i = 0; i < before; ++i) {
    const std::uint64_t word = stream.newest / 64 - i;
    wider[word % wider.size()] = stream.seen[word % before];
  }
  stream.seen = std::move(wider);
}

bool Eliminator::mark(Stream& stream, std::uint64_t number) {
  std::uint64_t& word = stream.seen[number / 64 % stream.seen.size()];
  const std::uint64_t bit = std::uint64_t{1} << (number % 64);
  if ((word & bit) != 0) return false;
  word |= bit;
  return true;
}

void Eliminator::drop_oldest() {
  by_id_.erase(streams_.front().id.packed());
  streams_.pop_front();
}

void Eliminator::on_timer(base::Time now) {
  while (!streams_.empty() && now - streams_.front().used >= options_.idle) drop_oldest();
}

base::Time Eliminator::next_timeout() const {
  return streams_.empty() ? base::Time::max() : streams_.front().used + options_.idle;
}

void Eliminator::forget(ids::NodeId peer) {
  for (auto it = streams_.begin(); it != streams_.end();) {
    if (it->id.peer != peer) {
      ++it;
      continue;
    }
    by_id_.erase(it->id.packed());
    it = streams_.erase(it);
  }
}

std::size_t Eliminator::window(const StreamId& stream) const {
  const auto it = by_id_.find(stream.packed());
  return it == by_id_.end() ? 0 : width(*it->second);
}

}  // namespace qanat::path
