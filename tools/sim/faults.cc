#include "tools/sim/faults.hh"

#include <algorithm>

namespace qanat::sim {

std::string to_string(FaultKind kind) {
  switch (kind) {
    case FaultKind::LinkDown: return "link_down";
    case FaultKind::LinkOneWay: return "link_one_way";
    case FaultKind::LinkLoss: return "link_loss";
    case FaultKind::LinkSlow: return "link_slow";
    case FaultKind::LinkSqueezed: return "link_squeezed";
    case FaultKind::Cut: return "cut";
    case FaultKind::BoxCrash: return "box_crash";
    case FaultKind::ControllerCrash: return "controller_crash";
  }
  return "unknown";
}

Faults::Faults(World& world, std::vector<std::unique_ptr<Shard>>& shards)
    : world_(world), shards_(shards), box_hit_(world.nodes(), world.start), wires_of_(world.nodes()) {
  for (std::uint32_t i = 0; i < world.wires.size(); ++i) {
    wires_of_[world.wires[i].from()].push_back(i);
    wires_of_[world.wires[i].to()].push_back(i);
  }
}

base::Time Faults::next_end() const {
  base::Time next = base::Time::max();
  for (const Fault& fault : active_) next = std::min(next, fault.until);
  return next;
}

void Faults::change(Fault& fault, std::uint32_t wire, const linkem::Spec& spec, base::Time now) {
  if (!world_.wires[wire].clean()) return;  // another fault has it
  world_.wires[wire].set(spec, now);
  shards_[world_.shard_of[world_.wires[wire].from()]]->touch_wire(wire);
  fault.wires.push_back(wire);
}

void Faults::begin(base::Time now) {
  Random random(world_.seed, Stream::Faults, begun_);
  Fault fault;
  fault.number = ++begun_;
  const std::uint64_t dice = random.below(100);
  fault.kind = dice < 30   ? FaultKind::LinkDown
               : dice < 45 ? FaultKind::LinkOneWay
               : dice < 60 ? FaultKind::LinkLoss
               : dice < 70 ? FaultKind::LinkSlow
               : dice < 78 ? FaultKind::LinkSqueezed
               : dice < 86 ? FaultKind::Cut
               : dice < 96 ? FaultKind::BoxCrash
                           : FaultKind::ControllerCrash;
  fault.until = now + std::chrono::milliseconds(1000 + random.below(7000));
  // A box that carries a flow now, or any box; and one of its links, towards the flow's other end if there is one.
  std::vector<const Leg*> running;
  for (const Leg& leg : world_.legs)
    if (leg.begin <= now && now < leg.end) running.push_back(&leg);
  std::vector<std::uint32_t> boxes;
  for (std::uint32_t i = 0; i < world_.boxes.size(); ++i)
    if (world_.boxes[i] != nullptr) boxes.push_back(i);
  const Leg* leg = !running.empty() && random.below(2) == 0 ? running[random.below(running.size())] : nullptr;
  fault.a = leg != nullptr ? leg->from : boxes[random.below(boxes.size())];
  const auto& wires = wires_of_[fault.a];
  if (!wires.empty()) {
    const Wire& any = world_.wires[wires[random.below(wires.size())]];
    fault.b = any.from() == fault.a ? any.to() : any.from();
    if (leg != nullptr) fault.b = leg->to;
    // A flow's way is the list in force: its first hop's link.
    if (leg != nullptr && world_.boxes[leg->from]->up() && world_.boxes[leg->from]->held()) {
      const auto& snapshot = *world_.boxes[leg->from]->held()->snapshot;
      const auto* policy = snapshot.policy(ids::NodeId{world_.boxes[leg->to]->node_id()}, leg->tier);
      if (policy != nullptr && !policy->paths.empty()) {
        const ids::NodeId hop = policy->paths.front().first_hop();
        for (const std::uint32_t i : boxes)
          if (world_.boxes[i]->node_id() == hop.value) fault.b = i;
      }
    }
  }
  apply(fault, random, now);
  active_.push_back(std::move(fault));
}

void Faults::apply(Fault& fault, Random& random, base::Time now) {
  const auto both = [&](auto edit) {
    for (std::uint8_t plane = 1; plane <= ids::PlaneId::kMax; ++plane)
      for (const auto& [from, to] : {std::pair{fault.a, fault.b}, std::pair{fault.b, fault.a}}) {
        const auto at = world_.wire_index.find(World::key(from, to, plane));
        if (at == world_.wire_index.end()) continue;
        linkem::Spec spec = world_.wires[at->second].spec();
        edit(spec, from == fault.a);
        change(fault, at->second, spec, now);
      }
  };
  switch (fault.kind) {
    case FaultKind::LinkDown: both([](auto& spec, bool) { spec.down = true; }); break;
    case FaultKind::LinkOneWay: both([](auto& spec, bool there) { spec.down = there; }); break;
    case FaultKind::LinkLoss: {
      const double share = 0.05 + 0.25 * random.unit();
      both([share](auto& spec, bool) {
        spec.loss = linkem::LossModel{};
        spec.loss.share = share;
      });
      break;
    }
    case FaultKind::LinkSlow: {
      const auto more = std::chrono::milliseconds(20 + random.below(100));
      both([more](auto& spec, bool) { spec.delay += more; });
      break;
    }
    case FaultKind::LinkSqueezed: {
      const std::uint64_t rate = 1'000'000 + random.below(4'000'000);
      both([rate](auto& spec, bool) { spec.rate_bps = rate; });
      break;
    }
    case FaultKind::Cut:
      fault.b = fault.a;
      for (const std::uint32_t wire : wires_of_[fault.a]) {
        linkem::Spec spec = world_.wires[wire].spec();
        spec.down = true;
        change(fault, wire, spec, now);
      }
      box_hit_[fault.a] = now;
      break;
    case FaultKind::BoxCrash:
      fault.b = fault.a;
      world_.boxes[fault.a]->crash();
      box_hit_[fault.a] = now;
      break;
    case FaultKind::ControllerCrash:
      fault.controller = static_cast<std::uint32_t>(random.below(world_.controllers.size()));
      fault.a = fault.b = world_.controllers[fault.controller]->identity().node;
      world_.controllers[fault.controller]->stop();
      break;
  }
  const std::uint32_t shard = world_.shard_of[fault.a];
  shards_[shard]->note_fault(fault.number, static_cast<std::uint32_t>(fault.kind), fault.a, fault.b, true,
                             now);
}

void Faults::end(const Fault& fault, base::Time now) {
  for (const std::uint32_t wire : fault.wires) {
    world_.wires[wire].restore(now);
    shards_[world_.shard_of[world_.wires[wire].from()]]->touch_wire(wire);
  }
  const std::uint32_t shard = world_.shard_of[fault.a];
  shards_[shard]->note_fault(fault.number, static_cast<std::uint32_t>(fault.kind), fault.a, fault.b, false,
                             now);
  if (fault.kind == FaultKind::BoxCrash) shards_[shard]->start_box(fault.a, now);
  if (fault.kind == FaultKind::Cut || fault.kind == FaultKind::BoxCrash) box_hit_[fault.a] = now;
  if (fault.kind == FaultKind::ControllerCrash && !world_.controllers[fault.controller]->up())
    world_.controllers[fault.controller]->resume(now);
}

void Faults::end_due(base::Time now) {
  for (const Fault& fault : active_)
    if (fault.until <= now) end(fault, now);
  std::erase_if(active_, [now](const Fault& fault) { return fault.until <= now; });
}

}  // namespace qanat::sim
