#include "dataplane/crypto/session.hh"

#include <algorithm>
#include <tuple>

namespace qanat::crypto {

bool Session::due(base::Time now) const noexcept {
  if (rekey_asked_) return true;
  const auto it = std::find_if(keys_.begin(), keys_.end(), [this](const auto& k) {
    return k && current_ && k->local_index() == *current_;
  });
  // Keys that wait for the peer's first use count as established: the peer has just been given them.
  if (it == keys_.end()) return !waiting_;
  const base::Duration age = now - (*it)->created();
  if ((*it)->packets_sent() >= policy_.rekey_packets) return !waiting_;
  return age >= ((*it)->initiator() ? policy_.rekey_after : policy_.rekey_after_responder);
}

Session::Actions Session::on_timer(base::Time now) noexcept {
  Actions actions;
  for (auto& keys : keys_) {
    if (!keys || now - keys->created() < kRejectAfter) continue;
    actions.expired[actions.expired_count++] = keys->local_index();
    if (current_ == keys->local_index()) current_.reset();
    if (waiting_ == keys->local_index()) waiting_.reset();
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
  bool sending = false;
  for (const auto& keys : keys_) {
    if (!keys) continue;
    next = std::min(next, keys->created() + kRejectAfter);
    if (current_ != keys->local_index()) continue;
    sending = true;
    const base::Duration after = keys->initiator() ? policy_.rekey_after : policy_.rekey_after_responder;
    next = std::min(next, std::max(keys->created() + after, retry_at));
  }
  if (rekey_asked_ || (!sending && !waiting_)) next = std::min(next, retry_at);
  return next;
}

std::optional<std::uint32_t> Session::install(std::unique_ptr<SessionKeys> keys) noexcept {
  const std::uint32_t index = keys->local_index();
  const bool initiator = keys->initiator();
  auto slot = std::find(keys_.begin(), keys_.end(), nullptr);
  std::optional<std::uint32_t> displaced;
  if (slot == keys_.end()) {
    // The oldest that the peer never used; else the oldest that is not in use for sending.
    const auto rank = [this](auto it) {
      const auto& k = *it;
      const bool sends = current_ == k->local_index();
      return std::tuple(sends, used_[static_cast<std::size_t>(it - keys_.begin())], k->created());
    };
    slot = keys_.begin();
    for (auto it = keys_.begin(); it != keys_.end(); ++it)
      if (rank(it) < rank(slot)) slot = it;
    displaced = (*slot)->local_index();
    if (waiting_ == displaced) waiting_.reset();
  }
  *slot = std::move(keys);
  used_[static_cast<std::size_t>(slot - keys_.begin())] = initiator;
  if (initiator) {
    current_ = index;
    waiting_.reset();
  } else {
    waiting_ = index;
  }
  handshake_sent_.reset();
  attempts_ = 0;
  rekey_asked_ = false;
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
  if (waiting_ != local_index) return false;
  for (std::size_t i = 0; i < keys_.size(); ++i)
    if (keys_[i] && keys_[i]->local_index() == local_index) used_[i] = true;
  current_ = waiting_;
  waiting_.reset();
  return true;
}

std::size_t Session::alive() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(keys_.begin(), keys_.end(), [](const auto& k) { return k != nullptr; }));
}

}  // namespace qanat::crypto
