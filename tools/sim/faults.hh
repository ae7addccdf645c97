// Faults: what is broken, when and for how long: a pure function of the seed and of what the network looks like then.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hh"
#include "tools/sim/shard.hh"

namespace qanat::sim {

enum class FaultKind : std::uint8_t {
  LinkDown,        // both ways
  LinkOneWay,      // one way only
  LinkLoss,        // 5 to 30 % of a link's packets
  LinkSlow,        // 20 to 120 ms more
  LinkSqueezed,    // to 1 to 5 Mbit/s
  Cut,             // a box loses all its links
  BoxCrash,        // killed, starts again
  ControllerCrash  // killed, starts again from its store
};
std::string to_string(FaultKind kind);

struct Fault {
  std::uint32_t number = 0;
  FaultKind kind{};
  std::uint32_t a = 0, b = 0;        // nodes; of a controller: where it stands
  std::uint32_t controller = 0;      // index
  std::vector<std::uint32_t> wires;  // changed
  base::Time until{};
};

class Faults {
 public:
  Faults(World& world, std::vector<std::unique_ptr<Shard>>& shards);

  // Begins one now. Half of them hit what carries a flow.
  void begin(base::Time now);
  // Ends those whose time has come.
  void end_due(base::Time now);
  base::Time next_end() const;
  std::uint32_t begun() const { return begun_; }
  // When a box was last down or cut, or its controller; for judging what it owes.
  base::Time box_hit(std::uint32_t box) const { return box_hit_[box]; }

 private:
  void apply(Fault& fault, Random& random, base::Time now);
  void end(const Fault& fault, base::Time now);
  void change(Fault& fault, std::uint32_t wire, const linkem::Spec& spec, base::Time now);
  std::vector<std::uint32_t> wires_of(std::uint32_t node) const;

  World& world_;
  std::vector<std::unique_ptr<Shard>>& shards_;
  std::vector<Fault> active_;
  std::vector<base::Time> box_hit_;
  std::vector<std::vector<std::uint32_t>> wires_of_;
  std::uint32_t begun_ = 0;
};

}  // namespace qanat::sim
