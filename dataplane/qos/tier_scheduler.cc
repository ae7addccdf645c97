#include "dataplane/qos/tier_scheduler.hh"

#include <algorithm>
#include <cstring>
#include <utility>

namespace qanat::qos {

using ids::Tier;
using packet::DropReason;

namespace {

constexpr std::int64_t kMostCriticalCredit = 32 * 1024;  // bytes in a row before its share is looked at
constexpr std::size_t index_of(Tier tier) { return static_cast<std::size_t>(tier); }

}  // namespace

// One tenant's packets towards one box in one tier, oldest first.
struct TierScheduler::Class {
  ClassKey key;
  TenantLimits* limits = nullptr;  // null: none
  QueuedPacket* first = nullptr;
  QueuedPacket* last = nullptr;
  std::size_t bytes = 0;
  std::size_t held = 0;      // memory
  std::int64_t deficit = 0;  // what it may still send in this turn; a debt when it sent more
  CoDel codel;
  Class* before = nullptr;  // in its tier's round
  Class* behind = nullptr;
};

// The classes of one tier that have something to send take turns.
struct TierScheduler::TierQueue {
  Tier tier{};
  std::unordered_map<std::uint64_t, std::unique_ptr<Class>> classes;
  Class* head = nullptr;
  Class* tail = nullptr;
  std::size_t active = 0;
  std::size_t bytes = 0;
  std::size_t held = 0;
  std::size_t promises = 0;  // active classes whose tenant was promised a rate
  std::int64_t deficit = 0;  // interactive against bulk
  std::int64_t quantum = kQuantum;

  static std::uint64_t key(const ClassKey& k) { return std::uint64_t{k.peer.value} << 32 | k.vni.value; }

  void append(Class& c) {
    c.before = tail;
    c.behind = nullptr;
    (tail == nullptr ? head : tail->behind) = &c;
    tail = &c;
    ++active;
    if (c.limits != nullptr && c.limits->promises()) ++promises;
  }
  void remove(Class& c) {
    (c.before == nullptr ? head : c.before->behind) = c.behind;
    (c.behind == nullptr ? tail : c.behind->before) = c.before;
    --active;
    if (c.limits != nullptr && c.limits->promises()) --promises;
  }
  // The class whose turn it is, of those that may: surplus round robin, so that sizes need not be known beforehand.
  template <class May>
  Class* turn(May may) {
    for (bool any = true; any;) {
      any = false;
      Class* c = head;
      for (std::size_t i = active; i > 0; --i) {
        Class* const behind = c->behind;
        if (may(*c)) {
          if (c->deficit > 0) return c;
          any = true;
          c->deficit += static_cast<std::int64_t>(kQuantum);
          remove(*c);
          append(*c);
        }
        c = behind;
      }
    }
    return nullptr;
  }
};

TierScheduler::TierScheduler(std::shared_ptr<const Policy> policy, packet::DropCounters& drops,
                             std::size_t slab_bytes)
    : drops_(drops), slab_(slab_bytes) {
  for (const Tier tier : ids::kTiers) {
    tiers_[index_of(tier)] = std::make_unique<TierQueue>();
    tiers_[index_of(tier)]->tier = tier;
  }
  set_policy(std::move(policy));
}

TierScheduler::~TierScheduler() {
  for (auto& tier : tiers_)
    for (auto& [key, c] : tier->classes)
      while (c->first != nullptr) {
        QueuedPacket* const packet = c->first;
        c->first = packet->behind;
        slab_.give(packet);
      }
}

void TierScheduler::set_policy(std::shared_ptr<const Policy> policy) {
  policy_ = std::move(policy);
  const auto weighted = [](std::uint32_t weight) { return static_cast<std::int64_t>(weight * kQuantum); };
  queue(Tier::Interactive).quantum = weighted(policy_->shares().interactive);
  queue(Tier::Bulk).quantum = weighted(policy_->shares().bulk);
  critical_credit_ = kMostCriticalCredit;
  for (auto& tier : tiers_) {
    tier->promises = 0;
    for (auto& [key, c] : tier->classes) {
      c->limits = policy_->tenant(c->key.vni);
      c->codel = CoDel(policy_->codel(tier->tier));
      if (c->first != nullptr && c->limits != nullptr && c->limits->promises()) ++tier->promises;
    }
  }
}

TierScheduler::Class& TierScheduler::class_of(TierQueue& tier, const ClassKey& key) {
  auto& slot = tier.classes[TierQueue::key(key)];
  if (slot != nullptr) return *slot;
  auto made = std::make_unique<Class>();
  made->key = key;
  made->limits = policy_->tenant(key.vni);
  made->codel = CoDel(policy_->codel(tier.tier));
  Class& c = *made;
  slot = std::move(made);
  if (tier.classes.size() > tier.active + kIdleClasses)
    std::erase_if(tier.classes, [&](const auto& entry) {
      return entry.second->first == nullptr && entry.second.get() != &c;
    });
  return c;
}

bool TierScheduler::enqueue(Tier tier, const ClassKey& key, std::uint8_t bucket,
                            const packet::Segmenter& segmenter, packet::Bytes packet, base::Time now) {
  const std::size_t count = segmenter.count();
  const std::size_t bytes = (count - 1) * segmenter.segment_bytes(0) + segmenter.segment_bytes(count - 1);
  tally(tier).queued_bytes += bytes;
  QueuedPacket* const entry = make_room(packet.size());
  if (entry == nullptr) {
    tally(tier).dropped_bytes += bytes;
    drops_.count(DropReason::QueueFull, count);
    return false;
  }
  std::memcpy(entry->storage.get(), packet.data(), packet.size());
  entry->key = key;
  entry->tier = tier;
  entry->bucket = bucket;
  entry->queued = now;
  entry->segmenter = segmenter;
  entry->segmenter.rebase(entry->bytes());
  entry->left_bytes = bytes;

  TierQueue& q = queue(tier);
  Class& c = class_of(q, key);
  if (c.first == nullptr) {
    c.first = c.last = entry;
    // A debt of its last turn stays; what it did not use does not.
    c.deficit = std::min<std::int64_t>(c.deficit, 0) + static_cast<std::int64_t>(kQuantum);
    q.append(c);
  } else {
    c.last->behind = entry;
    c.last = entry;
  }
  c.bytes += bytes;
  q.bytes += bytes;
  c.held += PacketSlab::held(*entry);
  q.held += PacketSlab::held(*entry);
  segments_ += count;
  if (tier != Tier::Scavenger) urgent_[key.peer] += count;
  return true;
}

QueuedPacket* TierScheduler::make_room(std::size_t bytes) {
  for (;;) {
    if (QueuedPacket* const packet = slab_.take(bytes)) return packet;
    // One of four holds a quarter of what is held.
    TierQueue* victim = nullptr;
    for (std::size_t t = ids::kTierCount; victim == nullptr && t-- > 0;)
      if (tiers_[t]->held * ids::kTierCount >= slab_.used_bytes()) victim = tiers_[t].get();
    if (victim->head == nullptr) return nullptr;  // larger than all there is
    Class* fattest = victim->head;
    for (Class* c = victim->head; c != nullptr; c = c->behind)
      if (c->held > fattest->held) fattest = c;
    drop_packet(*victim, *fattest, DropReason::QueueFull);
  }
}

TierScheduler::Class* TierScheduler::pick(TierQueue& tier, base::Time now, const Eligible& eligible) {
  const bool scavenger = tier.tier == Tier::Scavenger;
  const auto may = [&](const Class& c) {
    if (c.limits != nullptr && c.limits->limits()) {
      const base::Time ready = c.limits->ready_at(tier.tier);
      if (ready > now) {
        shaped_until_ = std::min(shaped_until_, ready);
        return false;
      }
    }
    if (scavenger && urgent_.contains(c.key.peer)) return false;
    return eligible(*c.first);
  };
  if (tier.promises != 0 && tier.promises != tier.active) {
    Class* const promised = tier.turn(
        [&](const Class& c) { return c.limits != nullptr && c.limits->committed_ready(now) && may(c); });
    if (promised != nullptr) return promised;
  }
  return tier.turn(may);
}

TierScheduler::Class* TierScheduler::pick_weighted(base::Time now, const Eligible& eligible) {
  TierQueue& interactive = queue(Tier::Interactive);
  TierQueue& bulk = queue(Tier::Bulk);
  Class* const i = interactive.head == nullptr ? nullptr : pick(interactive, now, eligible);
  Class* const b = bulk.head == nullptr ? nullptr : pick(bulk, now, eligible);
  if (i == nullptr || b == nullptr) return i == nullptr ? b : i;
  while (interactive.deficit <= 0 && bulk.deficit <= 0) {
    interactive.deficit += interactive.quantum;
    bulk.deficit += bulk.quantum;
  }
  return interactive.deficit > 0 ? i : b;
}

// The head's fate, by CoDel, unless it was decided before. False: it was dropped.
bool TierScheduler::settle(TierQueue& tier, Class& of, base::Time now) {
  QueuedPacket& head = *of.first;
  if (head.decided || tier.tier == Tier::Critical) return true;
  const std::size_t bytes = head.segment_bytes();
  const std::uint8_t ecn = head.segmenter.view().ecn();
  switch (of.codel.on_dequeue(now - head.queued, of.bytes - bytes, ecn != 0, now)) {
    case CoDel::Verdict::Drop:
      tally(tier.tier).dropped_bytes += bytes;
      drops_.count(DropReason::Aqm);
      advance(tier, of);
      return false;
    case CoDel::Verdict::Mark:
      ++tally(tier.tier).marked_segments;
      head.marked = true;
      break;
    case CoDel::Verdict::Pass: break;
  }
  head.decided = true;
  return true;
}

std::optional<TierScheduler::Next> TierScheduler::next(base::Time now, const Eligible& eligible) {
  shaped_until_ = base::Time::max();
  while (segments_ != 0) {
    TierQueue& critical = queue(Tier::Critical);
    const bool critical_first = critical_credit_ > 0;
    Class* c = nullptr;
    if (critical.head != nullptr && critical_first) c = pick(critical, now, eligible);
    if (c == nullptr) c = pick_weighted(now, eligible);
    if (c == nullptr && critical.head != nullptr && !critical_first) c = pick(critical, now, eligible);
    if (c == nullptr && queue(Tier::Scavenger).head != nullptr)
      c = pick(queue(Tier::Scavenger), now, eligible);
    if (c == nullptr) return std::nullopt;
    if (settle(queue(c->first->tier), *c, now)) return Next{c->first, c->first->marked, c};
  }
  return std::nullopt;
}

void TierScheduler::sent(const Next& next, std::size_t wire_bytes, base::Time now) {
  QueuedPacket& packet = *next.packet;
  Class& c = *next.of;
  const Tier tier = packet.tier;
  TierQueue& q = queue(tier);
  const auto wire = static_cast<std::int64_t>(wire_bytes);
  c.deficit -= wire;
  if (c.limits != nullptr) c.limits->charge(tier, wire_bytes, now);
  if (tier == Tier::Critical) {
    critical_credit_ = std::max(critical_credit_ - wire, -kMostCriticalCredit);
  } else {
    const double share = policy_->shares().critical;
    const double earned = share >= 1 ? static_cast<double>(kMostCriticalCredit)
                                     : static_cast<double>(wire) * share / (1 - share);
    critical_credit_ = std::min(critical_credit_ + static_cast<std::int64_t>(earned), kMostCriticalCredit);
  }
  if (tier == Tier::Interactive || tier == Tier::Bulk) {
    TierQueue& other = queue(tier == Tier::Interactive ? Tier::Bulk : Tier::Interactive);
    // Nobody to share with: nothing is owed. One that cannot go for long is not owed for long either.
    if (other.head == nullptr)
      q.deficit = other.deficit = 0;
    else
      q.deficit = std::max(q.deficit - wire, -q.quantum);
  }
  TierStats& stats = tally(tier);
  stats.sent_bytes += packet.segment_bytes();
  stats.wire_bytes += wire_bytes;
  ++stats.sent_segments;
  stats.sojourn += (now - packet.queued - stats.sojourn) / 16;
  advance(q, c);
}

void TierScheduler::refuse(const Next& next, packet::DropReason reason) {
  drop_packet(queue(next.packet->tier), *next.of, reason);
}

// The head's cursor moves by one segment.
void TierScheduler::advance(TierQueue& tier, Class& of) {
  QueuedPacket& head = *of.first;
  const std::size_t bytes = head.segment_bytes();
  of.bytes -= bytes;
  tier.bytes -= bytes;
  head.left_bytes -= bytes;
  head.decided = head.marked = false;
  --segments_;
  if (tier.tier != Tier::Scavenger)
    if (const auto it = urgent_.find(of.key.peer); --it->second == 0) urgent_.erase(it);
  if (++head.next < head.segmenter.count()) return;
  of.held -= PacketSlab::held(head);
  tier.held -= PacketSlab::held(head);
  of.first = head.behind;
  if (of.first == nullptr) {
    of.last = nullptr;
    tier.remove(of);
  }
  slab_.give(&head);
}

void TierScheduler::drop_packet(TierQueue& tier, Class& of, DropReason reason) {
  const std::size_t left = of.first->segmenter.count() - of.first->next;
  tally(tier.tier).dropped_bytes += of.first->left_bytes;
  drops_.count(reason, left);
  for (std::size_t i = 0; i < left; ++i) advance(tier, of);
}

base::Time TierScheduler::next_timeout() const { return shaped_until_; }

std::size_t TierScheduler::backlog_bytes(Tier tier) const { return queue(tier).bytes; }

std::size_t TierScheduler::backlog_bytes(Tier tier, ids::NodeId peer) const {
  std::size_t bytes = 0;
  for (const Class* c = queue(tier).head; c != nullptr; c = c->behind)
    if (c->key.peer == peer) bytes += c->bytes;
  return bytes;
}

}  // namespace qanat::qos
