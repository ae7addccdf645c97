#include "gateway/pool/life/card_share.hh"

#include <algorithm>
#include <map>

namespace qanat::pool {

std::vector<double> divide_cards(std::span<const CardJob> jobs, double reserve) {
  std::vector<double> shares(jobs.size(), 1);
  for (std::size_t self = 0; self < jobs.size(); ++self) {
    std::map<std::uint8_t, double> weights;  // of the busy, and of this job
    for (std::size_t i = 0; i < jobs.size(); ++i)
      if (jobs[i].busy || i == self) weights[jobs[i].priority] += jobs[i].weight;
    double left = 1;
    for (auto it = weights.begin(); it != weights.end(); ++it) {
      const bool last = std::next(it) == weights.end();
      const double here = last ? left : left * (1 - reserve);
      if (it->first == jobs[self].priority) {
        shares[self] = here * jobs[self].weight / it->second;
        break;
      }
      left -= here;
    }
  }
  return shares;
}

}  // namespace qanat::pool
