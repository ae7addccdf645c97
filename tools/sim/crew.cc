#include "tools/sim/crew.hh"

#include <algorithm>

namespace qanat::sim {
namespace {

constexpr unsigned kSpins = 2000;

template <class Reached>
void await(const Reached& reached) {
  for (unsigned spins = 0; !reached(); ++spins)
    if (spins > kSpins) std::this_thread::yield();
}

}  // namespace

Crew::Crew(std::vector<std::unique_ptr<Shard>>& shards, unsigned threads)
    : shards_(shards), next_(shards.size()) {
  const std::size_t others = std::min<std::size_t>(std::max(threads, 1u), shards.size()) - 1;
  for (std::size_t i = 0; i < others; ++i) workers_.emplace_back([this] { work(); });
}

Crew::~Crew() {
  leave_.store(true, std::memory_order_release);
  for (std::thread& worker : workers_) worker.join();
}

// A worker that comes late finds every shard taken and is not waited for.
void Crew::run(base::Time until) {
  until_ = until;
  done_.store(0, std::memory_order_relaxed);
  next_.store(0, std::memory_order_release);
  round_.fetch_add(1, std::memory_order_release);
  take_shards();
  await([this] { return done_.load(std::memory_order_acquire) == shards_.size(); });
}

void Crew::work() {
  for (std::uint64_t seen = 0;;) {
    await([&] {
      return round_.load(std::memory_order_acquire) != seen || leave_.load(std::memory_order_acquire);
    });
    if (leave_.load(std::memory_order_acquire)) return;
    seen = round_.load(std::memory_order_acquire);
    take_shards();
  }
}

void Crew::take_shards() {
  while (next_.load(std::memory_order_relaxed) < shards_.size()) {
    const std::size_t mine = next_.fetch_add(1, std::memory_order_acq_rel);
    if (mine >= shards_.size()) return;
    shards_[mine]->run(until_);
    done_.fetch_add(1, std::memory_order_acq_rel);
  }
}

}  // namespace qanat::sim
