// divide_cards: who gets how much of a card that several jobs share. Shares are of time: each job's kernels run one after
// another's, so a job with share s runs as if the card had s of its compute and bandwidth. Nothing is kept for the idle,
// so that a tide in one job is an ebb for the others.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace qanat::pool {

struct CardJob {
  std::uint8_t priority = 4;  // 0 goes first; a busy job leaves lower classes only `reserve`
  double weight = 1;          // among equals
  bool busy = false;
};

// Shares in (0, 1], summing to at most 1 over the busy; an idle job is told what it would have if it became busy.
// `reserve`: what the busy of one class leave to all classes below together, so that a preempted fine-tune keeps its place
// in memory and crawls on rather than dies.
std::vector<double> divide_cards(std::span<const CardJob> jobs, double reserve = 0.05);

}  // namespace qanat::pool
