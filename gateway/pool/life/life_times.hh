// LifeTimes: how long a model takes from a right to start to its first token, from the sizes of its weights, the way they
// travel and the disk they pass. Nothing here is a cold-start constant: change the disk and the cold start changes.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/time.hh"

namespace qanat::pool {

struct Card;
struct Model;

// What a site gives to starting models.
struct SitePlan {
  double disk_gb_per_s = 6;       // 10^9 bytes/s, reading and writing: one NVMe drive
  double start_s = 4;             // from exec to a server that begins to load
  double warm_s_per_layer = 0.2;  // compiling and capturing graphs
  bool snapshots = true;          // a warmed process is kept on disk: the next start restores it
};

// A place that holds the weights.
struct WeightCopy {
  std::string name;
  double gb_per_s = 1;  // 10^9 bytes/s to this site
  double rtt_ms = 1;
};

struct LifeTimes {
  base::Duration stage{};  // weights from the nearest copies to the disk
  base::Duration load{};   // process start, disk to cards
  base::Duration
      reload{};  // process start, host memory to cards: what a restart costs while the page cache is warm
  base::Duration warm{};     // graphs
  base::Duration restore{};  // of a snapshot: disk to cards, no graphs
  base::Duration cold() const { return stage + load + warm; }
};

// Copies are read at once, the nearest first, until the disk is the narrowest place. Without copies nothing can be staged
// that is not there: stage is zero then, and the plan says `staged`.
LifeTimes life_times(const Card& card, std::uint32_t cards, const Model& model, const SitePlan& site,
                     std::span<const WeightCopy> copies, double time_scale = 1);

}  // namespace qanat::pool
