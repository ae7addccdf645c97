// Crew: the threads that run the shards of a window, each shard on whichever is free.
// Windows are short: a thread that waits spins for a moment before it yields.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/time.hh"
#include "tools/sim/shard.hh"

namespace qanat::sim {

class Crew {
 public:
  // The calling thread is one of `threads`; more than there are shards are not made.
  Crew(std::vector<std::unique_ptr<Shard>>& shards, unsigned threads);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Every shard up to `until`; returns when all are there.
  void run(base::Time until);

 private:
  void work();
  void take_shards();

  std::vector<std::unique_ptr<Shard>>& shards_;
  base::Time until_{};                               // written while no shard can be taken
  alignas(64) std::atomic<std::uint64_t> round_{0};  // workers look for shards when it changes
  alignas(64) std::atomic<std::size_t> next_;        // the shard that nobody has taken yet
  alignas(64) std::atomic<std::size_t> done_{0};     // shards that are at `until_`
  std::atomic<bool> leave_{false};
  std::vector<std::thread> workers_;
};

}  // namespace qanat::sim
