#include "dataplane/crypto/session.hh"

#include <algorithm>
#include <tuple>

namespace qanat::crypto {

const SessionKeys* Session::find(std::optional<std::uint32_t> local_index) const noexcept {
  for (const auto& keys : keys_)
    if (keys && local_index == keys->local_index()) return keys.get();
  return nullptr;
}

bool Session::due(base::Time now) const noexcept {
  if (rekey_asked_) return true;
  const SessionKeys* keys = find(current_);
  const SessionKeys* promised = find(waiting_);
  const bool hopeful = promised != nullptr && now < promised->created() + kHandshakeRetry;
  if (keys == nullptr || keys->packets_sent() >= policy_.rekey_packets) return !hopeful;
  return now - keys->created() >= (keys->initiator() ? policy_.rekey_after : policy_.rekey_after_responder);
}

Session::Actions Session::on_timer(base::Time now) noexcept {
  Actions actions;
  for (auto& keys : keys_) {
    if (!keys || now - keys->created() < kRejectAfter) continue;
    actions.expired[actions.expired_count++] = keys->local_index();
    if (current_ == keys->local_index()) current_.reset();
    if (waiting_ == keys->local_index()) waiting_.reset();
    if (promised_ == keys->local_index()) promised_.reset();
    keys.reset();
  }
  const bool pausing = handshake_sent_ && now < *handshake_sent_ + retry_;
  actions.start_handshake = !pausing && due(now);
  return actions;
}

void Session::on_handshake_sent(base::Time now, base::Duration jitter) noexcept {
  handshake_sent_ = now;
  // Quick at first (a box that has just come up should not wait), then WireGuard's 5 s.
  const base::Duration wait = kHandshakeRetryFirst * (1 << std::min<std::uint32_t>(attempts_, 4));
  retry_ = std::min(wait, kHandshakeRetry) + std::clamp(jitter, base::Duration::zero(), kHandshakeJitter);
  ++attempts_;
}

base::Time Session::next_timeout() const noexcept {
  base::Time next = base::Time::max();
  const base::Time retry_at = handshake_sent_ ? *handshake_sent_ + retry_ : base::Time::min();
  for (const auto& keys : keys_)
    if (keys) next = std::min(next, keys->created() + kRejectAfter);
  if (const SessionKeys* keys = find(current_)) {
    const base::Duration after = keys->initiator() ? policy_.rekey_after : policy_.rekey_after_responder;
    next = std::min(next, std::max(keys->created() + after, retry_at));
  } else if (const SessionKeys* promised = find(waiting_)) {
    next = std::min(next, std::max(promised->created() + kHandshakeRetry, retry_at));
  } else {
    next = std::min(next, retry_at);
  }
  if (rekey_asked_) next = std::min(next, retry_at);
  return next;
}

std::optional<std::uint32_t> Session::install(std::unique_ptr<SessionKeys> keys) noexcept {
  const std::uint32_t index = keys->local_index();
  const bool initiator = keys->initiator();
  auto slot = std::find(keys_.begin(), keys_.end(), nullptr);
  std::optional<std::uint32_t> displaced;
  if (slot == keys_.end()) {
    // The oldest that the peer never used; else the oldest that is not in use for sending. Where both shake hands at
    // once, each gets the peer's keys just before its own: those were promised, and the peer sends with them.
    const auto rank = [&](auto it) {
      const auto& k = *it;
      const bool sends = current_ == k->local_index();
      const bool used =
          used_[static_cast<std::size_t>(it - keys_.begin())] || (initiator && promised_ == k->local_index());
      return std::tuple(sends, used, k->created());
    };
    slot = keys_.begin();
    for (auto it = keys_.begin(); it != keys_.end(); ++it)
      if (rank(it) < rank(slot)) slot = it;
    displaced = (*slot)->local_index();
    if (waiting_ == displaced) waiting_.reset();
    if (promised_ == displaced) promised_.reset();
  }
  const base::Time created = keys->created();
  *slot = std::move(keys);
  used_[static_cast<std::size_t>(slot - keys_.begin())] = initiator;
  if (initiator) {
    current_ = index;
    waiting_.reset();
    settled();
  } else {
    waiting_ = promised_ = index;
    some_unused_ = true;
    handshake_sent_ = created;
    retry_ = kHandshakeRetryFirst;
  }
  return displaced;
}

SessionKeys* Session::current(base::Time now) noexcept {
  for (auto& keys : keys_)
    if (keys && current_ == keys->local_index())
      return now - keys->created() < kRejectAfter && keys->packets_sent() < SessionKeys::kRejectPackets
                 ? keys.get()
                 : nullptr;
  return nullptr;
}

SessionKeys* Session::receiving(std::uint32_t local_index, base::Time now) noexcept {
  for (auto& keys : keys_)
    if (keys && keys->local_index() == local_index)
      return now - keys->created() < kRejectAfter ? keys.get() : nullptr;
  return nullptr;
}

bool Session::confirm(std::uint32_t local_index) noexcept {
  if (!some_unused_) return false;  // every datagram comes by here
  some_unused_ = false;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i] && keys_[i]->local_index() == local_index) used_[i] = true;
    some_unused_ |= keys_[i] && !used_[i];
  }
  if (waiting_ != local_index) return false;
  current_ = waiting_;
  waiting_.reset();
  settled();
  return true;
}

// Both have the keys: whatever was tried or asked for until now has come about.
void Session::settled() noexcept {
  handshake_sent_.reset();
  attempts_ = 0;
  rekey_asked_ = false;
}

std::size_t Session::alive() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(keys_.begin(), keys_.end(), [](const auto& k) { return k != nullptr; }));
}

}  // namespace qanat::crypto
