// Session: the keys alive with one peer and when to replace them (wire.md §2): pure decisions, time is an
// argument.
//
//     event                  | no keys           | current keys
//     -----------------------+-------------------+----------------------------------------------------------
//     on_timer               | Start (retry 5 s) | Start when due: 120 s or 2^48 packets, initiator; 165 s,
//                            |                   | responder; asked for
//     installed as initiator | current           | current; the older ones keep receiving for 180 s
//     installed as responder | waiting           | waiting: sends with it once the peer has used it
//     first datagram opened  | waiting → current | waiting → current
//
// What a responder was given is a promise until the peer uses it: the answer may have been lost, and nobody else would
// try again. So it settles nothing that was asked for, and holds back a handshake of our own for a moment only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/time.hh"
#include "dataplane/crypto/session_keys.hh"

namespace qanat::crypto {

inline constexpr base::Duration kRekeyAfter = std::chrono::seconds(120);
inline constexpr base::Duration kRekeyAfterResponder = std::chrono::seconds(165);
inline constexpr base::Duration kRejectAfter = std::chrono::seconds(180);
inline constexpr base::Duration kHandshakeRetry = std::chrono::seconds(5);
inline constexpr base::Duration kHandshakeRetryFirst =
    std::chrono::milliseconds(500);  // the first retries come faster
inline constexpr base::Duration kHandshakeJitter = std::chrono::milliseconds(334);
inline constexpr std::size_t kMaxReceiveKeys = 4;

// When keys are replaced. The defaults are the protocol's; tests rekey a thousand times as often.
struct SessionPolicy {
  base::Duration rekey_after = kRekeyAfter;
  base::Duration rekey_after_responder = kRekeyAfterResponder;
  std::uint64_t rekey_packets = SessionKeys::kRekeyPackets;
};

class Session {
 public:
  explicit Session(const SessionPolicy& policy = {}) : policy_(policy) {}

  struct Actions {
    bool start_handshake = false;  // make a HandshakeInitiator, send it, call on_handshake_sent
    std::array<std::uint32_t, kMaxReceiveKeys>
        expired{};  // local indices that no longer receive: forget them
    std::size_t expired_count = 0;
  };

  // What time asks for. Idempotent until on_handshake_sent.
  Actions on_timer(base::Time now) noexcept;
  // `jitter` 0 … 334 ms of the caller's randomness.
  void on_handshake_sent(base::Time now, base::Duration jitter) noexcept;
  // Forces a handshake at the next timer: the peer seems to have lost its keys.
  void rekey_now() noexcept { rekey_asked_ = true; }
  // The peer asked for a cookie, and we have it: the open handshake may be repeated at once.
  void retry_now() noexcept { retry_ = {}; }
  // The earliest time on_timer could have something to do.
  base::Time next_timeout() const noexcept;

  // Installs keys. Returns the local index pushed out when four others were alive: keys that the peer never used before
  // any it did, so that replayed handshakes push out nothing but each other. An initiator then sends
  // something (a keepalive) at once, so that the responder begins to use the keys.
  std::optional<std::uint32_t> install(std::unique_ptr<SessionKeys> keys) noexcept;

  // Keys to send with, or null (NoSession). Past kRejectAfter they no longer count.
  SessionKeys* current(base::Time now) noexcept;
  // Keys that receive under this index, or null (UnknownReceiver).
  SessionKeys* receiving(std::uint32_t local_index, base::Time now) noexcept;
  // Tell after a datagram opened under `local_index`: the peer has these keys. True when they became current.
  bool confirm(std::uint32_t local_index) noexcept;

  bool established(base::Time now) noexcept { return current(now) != nullptr; }
  std::size_t alive() const noexcept;

 private:
  bool due(base::Time now) const noexcept;
  const SessionKeys* find(std::optional<std::uint32_t> local_index) const noexcept;
  void settled() noexcept;
  SessionPolicy policy_;
  std::array<std::unique_ptr<SessionKeys>, kMaxReceiveKeys> keys_;
  std::array<bool, kMaxReceiveKeys> used_{};  // by the peer, or ours to use: not a handshake's mere promise
  std::optional<std::uint32_t> current_;      // local index
  std::optional<std::uint32_t> waiting_;
  std::optional<std::uint32_t> promised_;  // the newest that we answered for, until the peer uses them
  std::optional<base::Time> handshake_sent_;
  base::Duration retry_{};
  std::uint32_t attempts_ = 0;
  bool rekey_asked_ = false;
  bool some_unused_ = false;
};

}  // namespace qanat::crypto
