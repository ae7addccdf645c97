// Adapters: which LoRA adapters lie in card memory. A few places, least recently used first out; one that a
// running sequence uses stays. Costs are the roofline's.
#pragma once

#include <cstdint>
#include <vector>

namespace qanat::pool {

using AdapterId = std::uint32_t;
inline constexpr AdapterId kNoAdapter = 0;

struct AdapterPlan {
  std::uint32_t places = 0;  // adapters resident at once; 0: the engine serves none
  std::uint32_t rank = 16;
  double host_gb_per_s = 20;  // from host memory into card memory
};

class Adapters {
 public:
  enum class Residency : std::uint8_t { Resident, Fetched, NoPlace };

  explicit Adapters(std::uint32_t places) : places_(places) {}
  // Takes a use of the adapter, fetching it into a free or idle place if need be.
  Residency acquire(AdapterId adapter);
  void release(AdapterId adapter);
  void clear() { resident_.clear(); }
  bool resident(AdapterId adapter) const;

 private:
  struct Place {
    AdapterId adapter;
    std::uint32_t users;
  };
  std::uint32_t places_;
  std::vector<Place> resident_;  // least recently taken first
};

}  // namespace qanat::pool
