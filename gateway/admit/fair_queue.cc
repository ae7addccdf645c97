#include "gateway/admit/fair_queue.hh"

#include <algorithm>
#include <utility>

namespace qanat::admit {
namespace {

constexpr std::uint64_t kVirtual = 1 << 16;  // of virtual time a token at weight 1
constexpr double kSmooth = 1.0 / 16;         // of the gap between ends that each end changes

std::string_view tier_name(ids::Tier tier) { return ids::to_string(tier); }

}  // namespace

FairQueue::FairQueue(Rules rules) : rules_(std::move(rules)) { root_.max_running = rules_.max_calls; }

FairQueue::Node& FairQueue::child(Node& parent, std::string_view name, Limit limit_of) {
  if (const auto found = parent.children.find(name); found != parent.children.end()) return *found->second;
  auto node = std::make_unique<Node>();
  node->parent = &parent;
  node->name = name;
  node->limit_of = limit_of;
  node->order = next_order_++;
  ++nodes_;
  return *parent.children.emplace(node->name, std::move(node)).first->second;
}

FairQueue::Node& FairQueue::tier_of(const Caller& caller) {
  Node& tenant = child(root_, caller.tenant, Limit::Tenant);
  const auto named = rules_.tenants.find(caller.tenant);
  const Share& share = named == rules_.tenants.end() ? rules_.others : named->second;
  tenant.weight = share.weight;
  tenant.max_running = share.max_calls;
  Node& project = child(tenant, caller.project, Limit::Tenant);
  Node& key = child(project, caller.key, Limit::Key);
  key.max_running = caller.key_max_calls;
  Node& tier = child(key, tier_name(caller.tier), Limit::Key);
  tier.weight = kTierWeight[static_cast<std::size_t>(caller.tier)];
  tier.order = static_cast<std::uint64_t>(caller.tier);
  return tier;
}

// The outermost limit that is reached.
const FairQueue::Node* FairQueue::full_above(const Node& tier) {
  const Node* full = nullptr;
  for (const Node* node = &tier; node != nullptr; node = node->parent)
    if (!node->has_room()) full = node;
  return full;
}

// Whether it and each above it stands among those that may be served, after what changed at this tier. Who comes back,
// from idleness or from a limit of its own, gets no credit for it.
void FairQueue::settle_ready(Node& tier) {
  for (Node* node = &tier; node->parent != nullptr; node = node->parent) {
    Node& parent = *node->parent;
    const bool ready = (!node->queue.empty() || !node->ready.empty()) && node->has_room();
    if (ready == node->queued) continue;
    if (ready) {
      node->start = std::max(node->start, parent.now);
      parent.ready.emplace(std::pair(node->start, node->order), node);
    } else {
      parent.ready.erase({std::pair(node->start, node->order), node});
    }
    node->queued = ready;
  }
}

void FairQueue::admit(Ticket ticket, Call& call) {
  if (call.tier->queue.erase(ticket) != 0)
    for (Node* node = call.tier; node != nullptr; node = node->parent) --node->waiting;
  call.running = true;
  for (Node* node = call.tier; node != nullptr; node = node->parent) {
    ++node->running;
    if (node->parent == nullptr) break;
    Node& parent = *node->parent;
    if (node->queued) parent.ready.erase({std::pair(node->start, node->order), node});
    node->queued = false;
    node->start = std::max(node->start, parent.now);
    parent.now = node->start;
    node->start += std::max<std::uint64_t>(call.cost * kVirtual / node->weight, 1);
  }
  settle_ready(*call.tier);
}

void FairQueue::admit_next() {
  while (root_.has_room() && !root_.ready.empty()) {
    Node* node = &root_;
    while (!node->ready.empty()) node = node->ready.begin()->second;
    const Ticket ticket = *node->queue.begin();
    admit(ticket, calls_.at(ticket));
    events_.push_back({ticket, true});
  }
}

FairQueue::Entered FairQueue::enter(const Caller& caller) {
  if (nodes_ >= sweep_at_) forget_idle();
  Node& tier = tier_of(caller);
  const std::size_t behind = root_.waiting;
  const Node* const full = full_above(tier);
  const Limit limit = full != nullptr ? full->limit_of : Limit::Gateway;
  if (full != nullptr && root_.waiting >= rules_.max_waiting && !make_room(tier))
    return {Entry::Full, 0, behind, limit};
  const Ticket ticket = next_ticket_++;
  Call& call = calls_[ticket];
  call = {&tier, std::clamp<std::uint64_t>(caller.cost, 1, kMostCost), false};
  if (full == nullptr) {
    admit(ticket, call);
    return {Entry::Admitted, ticket, behind, limit};
  }
  tier.queue.insert(ticket);
  for (Node* node = &tier; node != nullptr; node = node->parent) ++node->waiting;
  settle_ready(tier);
  return {Entry::Waiting, ticket, behind, limit};
}

// Takes the newest call of the tenant that has most waiting for its weight, unless that is the newcomer's.
bool FairQueue::make_room(const Node& newcomer) {
  const Node* of = &newcomer;
  while (of->parent != &root_) of = of->parent;
  const auto load = [](const Node& tenant, std::size_t more) {
    return static_cast<double>(tenant.waiting + more) / tenant.weight;
  };
  Node* longest = nullptr;
  for (const auto& [name, tenant] : root_.children)
    if (tenant->waiting != 0 && (longest == nullptr || load(*tenant, 0) > load(*longest, 0)))
      longest = tenant.get();
  if (longest == nullptr || longest == of || load(*longest, 0) <= load(*of, 1)) return false;
  // In it, of its longest project and key, of the least tier.
  while (!longest->children.empty()) {
    const auto worse = [](const auto& a, const auto& b) {
      const bool tiers = a.second->order < ids::kTierCount && b.second->order < ids::kTierCount;
      if (!tiers) return a.second->waiting < b.second->waiting;
      return std::pair(a.second->waiting != 0, a.second->order) <
             std::pair(b.second->waiting != 0, b.second->order);
    };
    longest = std::max_element(longest->children.begin(), longest->children.end(), worse)->second.get();
  }
  const Ticket ticket = *longest->queue.rbegin();
  wait_no_more(ticket, *longest);
  events_.push_back({ticket, false});
  return true;
}

void FairQueue::wait_no_more(Ticket ticket, Node& tier) {
  tier.queue.erase(ticket);
  for (Node* node = &tier; node != nullptr; node = node->parent) --node->waiting;
  calls_.erase(ticket);
  settle_ready(tier);
}

FairQueue::Limit FairQueue::leave(Ticket ticket) {
  const auto found = calls_.find(ticket);
  if (found == calls_.end() || found->second.running) return Limit::Gateway;
  Node& tier = *found->second.tier;
  const Node* const full = full_above(tier);
  wait_no_more(ticket, tier);
  return full != nullptr ? full->limit_of : Limit::Gateway;
}

void FairQueue::finish(Ticket ticket, base::Time now) {
  const auto found = calls_.find(ticket);
  if (found == calls_.end() || !found->second.running) return;
  Node& tier = *found->second.tier;
  for (Node* node = &tier; node != nullptr; node = node->parent) --node->running;
  calls_.erase(found);
  if (last_end_) {
    const auto gap = static_cast<double>((now - *last_end_).count());
    gap_ns_ += gap_ns_ == 0 ? gap : (gap - gap_ns_) * kSmooth;
  }
  last_end_ = root_.waiting != 0 ? std::optional(now) : std::nullopt;  // a gap without a queue says nothing
  settle_ready(tier);
  admit_next();
  if (root_.idle()) {  // nobody owes anybody anything
    root_.children.clear();
    root_.now = 0;
    nodes_ = 0;
  }
}

// Those without calls whose last one is paid for; all of them if that leaves too many.
void FairQueue::forget_idle() {
  const auto sweep = [this](auto& self, Node& node, bool all) -> void {
    for (auto it = node.children.begin(); it != node.children.end();) {
      Node& one = *it->second;
      self(self, one, all);
      const bool gone = one.idle() && one.children.empty() && (all || one.start <= node.now);
      if (gone) --nodes_;
      it = gone ? node.children.erase(it) : std::next(it);
    }
  };
  sweep(sweep, root_, false);
  if (nodes_ >= kRemembered) sweep(sweep, root_, true);
  sweep_at_ = std::max(kRemembered, 2 * nodes_);
}

std::optional<base::Duration> FairQueue::clears_in() const {
  if (gap_ns_ == 0) return std::nullopt;
  return base::Duration(static_cast<std::int64_t>(gap_ns_ * static_cast<double>(root_.waiting + 1)));
}

std::optional<FairQueue::Event> FairQueue::poll_event() {
  if (events_.empty()) return std::nullopt;
  const Event event = events_.front();
  events_.pop_front();
  return event;
}

std::string_view to_string(FairQueue::Limit limit) {
  switch (limit) {
    case FairQueue::Limit::Gateway: return "gateway";
    case FairQueue::Limit::Tenant: return "tenant";
    case FairQueue::Limit::Key: return "key";
  }
  return "unknown";
}

}  // namespace qanat::admit
